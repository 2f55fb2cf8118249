import { fileURLToPath } from 'node:url';

/** The program of a thread, by its path below `src/`; also from within the bundled commands. */
export function workerFile(name: string): URL {
  return new URL(`../../dist/src/${name}`, import.meta.url);
}

/** The command itself, for a process of its own; also from within the bundled commands. */
export function commandFile(): string {
  return fileURLToPath(new URL('../../bin/cfsbridge', import.meta.url));
}
