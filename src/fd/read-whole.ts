// Files that somebody names, and files of the kernel: read to their end, whatever size they say to have, but only up to
// a limit.
import { constants, readSync } from 'node:fs';
import type { ByteString } from '../bytes.js';
import { Fd, openPath } from './fd.js';

const S_IFMT = 0o170000;
const S_IFIFO = 0o010000;
const PIECE = 64 << 10;

/** What a file is that cannot be read whole, to follow its name in a message. */
export class UnfitFileError extends Error {
  override name = 'UnfitFileError';
}

/**
 * A small file.
 * @param limit most bytes it may have
 * @throws UnfitFileError when it is longer, or a pipe; an error with `code` when it cannot be opened or read
 */
export function readWhole(path: ByteString, limit: number): Buffer {
  using file = openToRead(path);
  const { mode, size } = file.stat();
  // What a pipe gives once, as CONTAINERS_STORAGE_CONF=<(…) does, is read more often.
  if ((mode & S_IFMT) === S_IFIFO) throw new UnfitFileError('is a pipe');
  const tooLarge = `has more than ${limit} bytes`;
  if (size > limit) throw new UnfitFileError(tooLarge);
  const pieces: Buffer[] = [];
  let length = 0;
  // Devices and the kernel's files do not say how long they are.
  for (let room = Math.max(PIECE, size + 1); ; room = PIECE) {
    const piece = Buffer.allocUnsafe(room);
    const count = readSync(file.number, piece);
    if (count === 0) return Buffer.concat(pieces, length);
    length += count;
    if (length > limit) throw new UnfitFileError(tooLarge);
    pieces.push(piece.subarray(0, count));
  }
}

/**
 * The lines of a file that may be long, such as a list of mounts that other users make longer. Without the ends of the
 * lines.
 * @param limit most bytes of a line
 * @throws UnfitFileError for a longer line; an error with `code` when it cannot be opened or read
 */
export function* linesOf(path: ByteString, limit: number): Generator<ByteString, void, void> {
  using file = openToRead(path);
  const piece = Buffer.allocUnsafe(PIECE);
  let rest = '';
  for (let count: number; (count = readSync(file.number, piece)) > 0; ) {
    const lines = (rest + piece.toString('latin1', 0, count)).split('\n');
    rest = lines.pop() ?? '';
    if (rest.length > limit) throw new UnfitFileError(`has a line of more than ${limit} bytes`);
    yield* lines;
  }
  if (rest !== '') yield rest;
}

/** Without O_NONBLOCK a fifo would block the process. */
function openToRead(path: ByteString): Fd {
  return openPath(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
}
