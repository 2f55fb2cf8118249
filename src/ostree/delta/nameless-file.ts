import { constants } from 'node:fs';
import { bytesOf } from '../../bytes.js';
import { inBlocks } from '../../compress/blocks.js';
import { FormatError } from '../../errors.js';
import { openPath, type Fd } from '../../fd/fd.js';
import { writeAll } from '../../fd/write-all.js';

const BLOCK = 256 << 10;
const O_TMPFILE = 0o20000000 | constants.O_DIRECTORY;

/**
 * Writes bytes to a file without a name, which is gone when it is closed. The next ones are asked for while some are
 * written.
 * @param folder on whose filesystem it is
 * @param what these bytes are, for messages
 * @param limit most bytes to accept
 * @param look called with all bytes, in blocks
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
  const spare: Buffer[] = [];
  let length = 0;
  let written: Promise<unknown> = Promise.resolve();
  try {
    for await (const block of inBlocks(pieces, BLOCK, spare)) {
      if (length + block.length > limit) throw new FormatError('OSTREE_DELTA', `${what} has more than ${limit} bytes`);
      look(block);
      await written;
      written = writeAll(file, block, length).then(() => spare.push(block));
      // Its error comes when its turn does.
      written.catch(() => undefined);
      length += block.length;
    }
  } finally {
    // Before the file is closed.
    await written;
  }
  check(length);
  return file.move();
}
