import { write } from 'node:fs';
import { promisify } from 'node:util';
import type { Fd } from './fd.js';

const writeAt = promisify(write);

/**
 * Writes all of the bytes at an offset, on Node's threads.
 * @param at in bytes
 * @returns how many bytes these were
 * @throws an error with `code` of write(2)
 */
export async function writeAll(file: Fd, bytes: Buffer, at: number): Promise<number> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await writeAt(file.number, bytes, done, bytes.length - done, at + done);
    if (bytesWritten === 0) throw new Error('nothing can be written any more');
    done += bytesWritten;
  }
  return bytes.length;
}
