import { writeSync } from 'node:fs';
import { isErrno } from '../fd/fd.js';
import { CommandFailure, errorText } from './command-failure.js';

export const STDIN = 0;
export const STDOUT = 1;
export const STDERR = 2;

/** A shell's status for a program that SIGPIPE ended, as it ends C programs whose reader went away. */
const SIGPIPE_STATUS = 141;
const RETRY_MS = 5;

/**
 * Writes all bytes to a descriptor and returns when they are gone. Standard output is written to in this way by
 * programs that do nothing else meanwhile; `process.stdout` would make a stream of it first.
 */
export function writeFd(fd: number, bytes: Uint8Array | string): void {
  const buffer = typeof bytes === 'string' ? Buffer.from(bytes) : bytes;
  for (let at = 0; at < buffer.length; ) {
    try {
      at += writeSync(fd, buffer, at);
    } catch (error) {
      if (fd === STDOUT && isErrno(error, 'EPIPE')) process.exit(SIGPIPE_STATUS);
      // Our parent may have set the descriptor to non-blocking.
      if (!isErrno(error, 'EAGAIN')) throw error;
      waitShortly();
    }
  }
}

/**
 * Writes results to standard output.
 * @throws CommandFailure
 */
export function print(bytes: Uint8Array | string): void {
  try {
    writeFd(STDOUT, bytes);
  } catch (error) {
    throw new CommandFailure(`cannot write to standard output: ${errorText(error)}`);
  }
}

/** Blocks until a descriptor that was not ready is worth another try. */
export function waitShortly(): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, RETRY_MS);
}
