import { BridgeError } from '../../errors.js';
import { PartFailure, PartWriter } from '../../fd/part-writer.js';
import { checkMergedSize } from './merged.js';
import { objectPath } from '../../fsverity/object-id.js';
import type { Repository } from '../repository.js';
import { checkMergedLimit, type SplitstreamReader } from './reader.js';

/**
 * Writes the bytes a splitstream stands for, as `mergedStream` gives them, without having the content of objects in
 * memory.
 * @param fd where to; stays the caller's
 * @throws as `mergedStream` does, when no byte too much has been written; PartFailure when `fd` cannot be written to
 */
export async function sendMerged(
  fd: number,
  repository: Repository,
  stream: SplitstreamReader,
  signal?: AbortSignal,
): Promise<void> {
  const { objects, verityRequired } = repository;
  await using parts = new PartWriter(fd, { signal, limit: Number(stream.streamSize) });
  try {
    for await (const pieces of stream.batches(signal)) {
      for (const piece of pieces) {
        if (piece.kind === 'inline') parts.bytes(piece.bytes);
        else if (verityRequired) parts.open(objects.open(piece.id));
        else parts.named(objects.dir, objectPath(piece.id));
        await parts.pause();
      }
    }
    checkMergedSize(stream, await parts.end());
  } catch (error) {
    if (error instanceof PartFailure && error.code === 'TOO_MUCH') checkMergedLimit(stream, Infinity);
    if (!(error instanceof PartFailure) || error.entry === undefined) throw error;
    const id = error.entry.replace('/', '');
    // This says it better, where it fails as well.
    objects.open(id).close();
    throw new BridgeError(error.code, `object ${id}: ${error.message}; fsck tells more`);
  }
}
