import type { Fd } from '../fd/fd.js';
import type { ObjectId } from '../fsverity/object-id.js';
import { IngestPipeline } from './ingest-pipeline.js';
import type { FileResult, ObjectStore, StoredFile } from './objects.js';

/**
 * Stores content that comes in pieces, of more than INLINE_LIMIT bytes. Each piece is used before the next is asked
 * for.
 * @param length of all pieces together, in bytes
 * @throws BridgeError like `ObjectStore.put`; what `pieces` throws
 */
export async function storePieces(
  objects: ObjectStore,
  length: number,
  pieces: Iterable<Buffer> | AsyncIterable<Buffer>,
): Promise<StoredFile> {
  let stored: StoredFile | undefined;
  const pipeline = new IngestPipeline(objects.ingest('copy'), {
    take: ([result]) => void (stored ??= asStored(result)),
  });
  try {
    pipeline.batch.dataBegin(length);
    for await (const piece of pieces) {
      pipeline.batch.data(piece);
      if (!pipeline.isFull) continue;
      pipeline.submit();
      await pipeline.room();
    }
    pipeline.batch.dataEnd();
    pipeline.submit();
    await pipeline.finish();
    return stored as unknown as StoredFile;
  } catch (error) {
    await pipeline.abandon();
    throw error;
  }
}

/**
 * Stores an open file of more than INLINE_LIMIT bytes. Its inode is not shared, whatever it is.
 * @param file moves into the pool
 */
export async function storeFile(objects: ObjectStore, file: Fd, size: number): Promise<ObjectId> {
  let stored: StoredFile | undefined;
  const pipeline = new IngestPipeline(objects.ingest('reflink', { trusted: false }), {
    take: ([result]) => void (stored = asStored(result)),
  });
  pipeline.batch.open(file, size);
  pipeline.submit();
  await pipeline.finish();
  return (stored as unknown as StoredFile).id;
}

function asStored(result: FileResult | undefined): StoredFile | undefined {
  return result === undefined || result.outcome === 'small' ? undefined : result;
}
