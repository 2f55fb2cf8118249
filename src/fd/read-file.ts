import { read as readCallback, readSync } from 'node:fs';
import { promisify } from 'node:util';
import { FormatError } from '../errors.js';
import type { Fd } from './fd.js';

const readAsync = promisify(readCallback);

/**
 * Reads `length` bytes at `offset`, blocking; for heads and tables, not for content.
 * @throws FormatError when the file ends before that
 */
export function readAt(fd: Fd, offset: number, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  for (let done = 0; done < length; ) {
    const count = readSync(fd.number, bytes, done, length - done, offset + done);
    if (count === 0)
      throw new FormatError('SHORT_FILE', `file ends ${length - done} bytes early`, {
        place: { offset: offset + done },
      });
    done += count;
  }
  return bytes;
}

/**
 * Reads a whole small file.
 * @param limit most bytes to accept
 * @throws FormatError when it is longer
 */
export function readSmallFile(fd: Fd, limit: number): Buffer {
  const { size } = fd.stat();
  if (size > limit) throw new FormatError('FILE_TOO_LARGE', `file of ${size} bytes, at most ${limit} are accepted`);
  return readAt(fd, 0, size);
}

/**
 * The bytes of `[start, end)` in blocks of up to `blockSize`, read beside the event loop. The block is overwritten by
 * the next one. `fd` stays the caller's and must stay open until the generator ends.
 * @throws FormatError when the file ends before `end`
 */
export async function* readBlocks(
  fd: Fd,
  start: number,
  end: number,
  blockSize: number,
  signal?: AbortSignal,
): AsyncGenerator<Buffer> {
  const block = Buffer.allocUnsafe(Math.min(blockSize, end - start));
  for (let offset = start; offset < end; ) {
    signal?.throwIfAborted();
    const { bytesRead } = await readAsync(fd.number, block, 0, Math.min(block.length, end - offset), offset);
    if (bytesRead === 0)
      throw new FormatError('SHORT_FILE', `file ends ${end - offset} bytes early`, { place: { offset } });
    offset += bytesRead;
    yield block.subarray(0, bytesRead);
  }
}
