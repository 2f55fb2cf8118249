import type { ObjectStore } from './objects.js';
import { readBlocks } from './read-file.js';
import type { SplitstreamReader } from './splitstream-reader.js';

const BLOCK = 256 << 10;

/**
 * The bytes a splitstream stands for: a layer's tar, a manifest, a config. Inline pieces come as they are, objects
 * in blocks of up to 256 KiB. Each piece is valid only until the next one is asked for.
 * @throws NotFoundError for a missing object, FormatError for a damaged stream
 */
export async function* mergedStream(objects: ObjectStore, stream: SplitstreamReader, signal?: AbortSignal): AsyncGenerator<Buffer> {
  for await (const pieces of stream.batches(signal))
    for (const piece of pieces) {
      if (piece.kind === 'inline') {
        yield piece.bytes;
        continue;
      }
      using object = objects.open(piece.id);
      yield* readBlocks(object, 0, object.stat().size, BLOCK, signal);
    }
}
