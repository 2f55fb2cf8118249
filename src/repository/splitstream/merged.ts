import { FormatError } from '../../errors.js';
import type { ObjectStore } from '../objects.js';
import { readBlocks } from '../../fd/read-file.js';
import { checkMergedLimit, type SplitstreamReader } from './reader.js';

const BLOCK = 256 << 10;

/**
 * The bytes a splitstream stands for: a layer's tar, a manifest, a config. Inline pieces come as they are, objects
 * in blocks of up to 256 KiB. Each piece is valid only until the next one is asked for.
 * @throws NotFoundError for a missing object, FormatError for a damaged stream, before there are more bytes than it
 *   says, and at the end when there were fewer, as some object has lost its end
 */
export async function* mergedStream(
  objects: ObjectStore,
  stream: SplitstreamReader,
  signal?: AbortSignal,
): AsyncGenerator<Buffer> {
  let length = 0;
  for await (const pieces of stream.batches(signal))
    for (const piece of pieces) {
      if (piece.kind === 'inline') {
        length += piece.bytes.length;
        checkMergedLimit(stream, length);
        yield piece.bytes;
        continue;
      }
      using object = objects.open(piece.id);
      const { size } = object.stat();
      length += size;
      checkMergedLimit(stream, length);
      yield* readBlocks(object, 0, size, BLOCK, signal);
    }
  checkMergedSize(stream, length);
}

/** @param length of all parts, in bytes @throws FormatError when they were more or fewer bytes than the stream says */
export function checkMergedSize(stream: SplitstreamReader, length: number): void {
  if (BigInt(length) === stream.streamSize) return;
  throw new FormatError(
    'STREAM_SIZE',
    `the stream has ${stream.streamSize} bytes, and its parts ${length}: an object of it is damaged; fsck tells which`,
  );
}
