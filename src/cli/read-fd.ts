import { fstatSync, readSync } from 'node:fs';
import { FormatError } from '../errors.js';
import { isErrno } from '../fd/fd.js';
import { waitShortly } from './write-fd.js';

/** Bytes that are read at once when it is not known how many there are. */
const PIECE = 1 << 16;

/**
 * Reads a file, a pipe or a device to its end.
 * @param limit most bytes to accept
 * @throws FormatError FILE_TOO_LARGE
 */
export function readFd(fd: number, limit: number): Buffer {
  const { size } = fstatSync(fd);
  const pieces: Buffer[] = [];
  let length = 0;
  for (let room = Math.max(size + 1, PIECE); Math.max(size, length) <= limit; room = PIECE) {
    const piece = Buffer.allocUnsafe(room);
    const count = fill(fd, piece);
    pieces.push(piece.subarray(0, count));
    length += count;
    if (count < room) return pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces, length);
  }
  throw new FormatError('FILE_TOO_LARGE', `more than ${limit} bytes`);
}

/** Reads until a buffer is full or the file at its end; returns how many bytes these are. */
function fill(fd: number, into: Buffer): number {
  for (let at = 0; ; ) {
    try {
      const count = readSync(fd, into, { offset: at, length: into.length - at });
      if (count === 0) return at;
      at += count;
      if (at === into.length) return at;
    } catch (error) {
      // Our parent may have set the descriptor to non-blocking.
      if (!isErrno(error, 'EAGAIN')) throw error;
      waitShortly();
    }
  }
}
