import { constants } from 'node:fs';
import { bytesOf } from '../../bytes.js';
import { FormatError } from '../../errors.js';
import { openPath, type Fd } from '../../fd/fd.js';
import { writeAll } from '../../fd/write-all.js';

const O_TMPFILE = 0o20000000 | constants.O_DIRECTORY;

/**
 * Writes bytes to a file without a name, which is gone when it is closed.
 * @param folder on whose filesystem it is
 * @param what these bytes are, for messages
 * @param limit most bytes to accept
 * @param look called with each piece
 * @param check called with the number of bytes at the end
 * @throws FormatError `OSTREE_DELTA` for more bytes; what the pieces, `look` and `check` throw
 */
export async function namelessFile(
  folder: Fd,
  pieces: AsyncIterable<Buffer>,
  what: string,
  limit: number,
  look: (piece: Buffer) => void,
  check: (length: number) => void,
): Promise<Fd> {
  using file = openPath(bytesOf(`/proc/self/fd/${folder.number}`), O_TMPFILE | constants.O_RDWR, 0o600);
  let length = 0;
  for await (const piece of pieces) {
    if (length + piece.length > limit) throw new FormatError('OSTREE_DELTA', `${what} has more than ${limit} bytes`);
    look(piece);
    length += await writeAll(file, piece, length);
  }
  check(length);
  return file.move();
}
