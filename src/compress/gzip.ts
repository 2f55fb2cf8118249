// gzip on several threads: blocks that are compressed each on their own, with the end of the one before as dictionary,
// give one member when they stand one after the other.
import { availableParallelism } from 'node:os';
import { promisify } from 'node:util';
import { constants, crc32, deflateRaw, type InputType, type ZlibOptions } from 'node:zlib';
import { inBlocks } from './blocks.js';

const deflate: (bytes: InputType, options: ZlibOptions) => Promise<Buffer> = promisify(deflateRaw);

const BLOCK = 1 << 20;
/** How far back deflate looks. */
const WINDOW = 32 << 10;
/** Node has four threads for this, which read files as well. */
const AHEAD = Math.min(availableParallelism(), 3);
/** No time, no name, no system: the same content gives the same bytes. */
const HEADER = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff]);
/** An empty last block. */
const END = Buffer.from([3, 0]);

/** @param level 1 to 9 */
export async function* gzip(pieces: AsyncIterable<Buffer>, level: number): AsyncGenerator<Buffer, void, void> {
  const running: Promise<Buffer>[] = [];
  let before: Buffer | undefined;
  let crc = 0;
  let length = 0;
  yield HEADER;
  try {
    for await (const block of inBlocks(pieces, BLOCK)) {
      crc = crc32(block, crc);
      length += block.length;
      const dictionary = before?.subarray(-WINDOW);
      const compressed = deflate(block, {
        level,
        finishFlush: constants.Z_SYNC_FLUSH,
        ...(dictionary && { dictionary }),
      });
      // The code that waits for it gets the error.
      compressed.catch(() => undefined);
      running.push(compressed);
      before = block;
      if (running.length > AHEAD) yield (await running.shift()) as Buffer;
    }
    for (const compressed of running) yield await compressed;
  } finally {
    await Promise.allSettled(running);
  }
  const trailer = Buffer.alloc(8);
  trailer.writeUInt32LE(crc, 0);
  trailer.writeUInt32LE(length % 2 ** 32, 4);
  yield Buffer.concat([END, trailer]);
}
