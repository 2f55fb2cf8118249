import { createRequire } from 'node:module';
import type Xz from 'xz-decompress';
import { FormatError } from '../errors.js';

const require = createRequire(import.meta.url);

/**
 * The decompressed bytes of one xz stream, piece by piece. Only one is decompressed at a time, the next one waits:
 * whoever begins has to go on to the end or leave the loop.
 * @throws FormatError `COMPRESSION` for damaged data; what `pieces` throws
 */
export async function* decompressXz(pieces: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, void> {
  let failure: unknown;
  const watched = async function* (): AsyncGenerator<Buffer, void, void> {
    try {
      yield* pieces;
    } catch (error) {
      failure = error;
      throw error;
    }
  };
  // It takes longer to load than a small request, and few have anything of xz.
  const xz = require('xz-decompress') as typeof Xz;
  const stream = new xz.XzReadableStream(ReadableStream.from(watched()) as ReadableStream<Uint8Array>);
  try {
    for await (const piece of stream) yield Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength);
  } catch (cause) {
    if (failure !== undefined) throw failure;
    throw new FormatError('COMPRESSION', 'xz data is damaged or cut off', { cause });
  }
}
