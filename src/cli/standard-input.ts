import { fstatSync } from 'node:fs';

/**
 * Standard input as a stream. Node takes a directory there for an empty file.
 * @throws Error when it is one
 */
export function standardInput(): NodeJS.ReadStream {
  if (fstatSync(process.stdin.fd).isDirectory()) throw new Error('standard input is a directory');
  return process.stdin;
}
