import { basename } from 'node:path';

/** Whether the program does cfsctl's work under cfsctl's name, for scripts that know only that. */
export const isCalledCfsctl = basename(process.argv[1] ?? '') === 'cfsctl';
