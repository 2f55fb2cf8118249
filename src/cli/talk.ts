import { printableLines } from '../bytes.js';

/** Says something on standard error, whatever names and messages are in it. */
export function talk(text: string): void {
  process.stderr.write(printableLines(text));
}
