import { loadNative } from '../native.js';

const native = loadNative<{ errorText(errno: number): string }>();

/** Ends mkcomposefs or composefs-info with status 1; the message is for the user, without the program's name. */
export class CommandFailure extends Error {}

/** The text C programs print for a failed system call: `No such file or directory`. Anything else says what it says. */
export function errorText(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return 'errno' in error && typeof error.errno === 'number' ? native.errorText(Math.abs(error.errno)) : error.message;
}
