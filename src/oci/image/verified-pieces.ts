import type { Repository } from '../../repository/repository.js';
import type { Piece, SplitstreamReader } from '../../repository/splitstream/reader.js';
import { measuredObjects } from './repository-layer.js';
import { TarHasher } from './tar-hasher.js';

/** So many objects are opened at once. */
const BATCH = 256;

/**
 * The pieces of a layer in a repository whose owner is not believed. Its tar is put together and hashed on the side,
 * its objects are compared with their names, so that what was made of the pieces is right when the last step does not
 * throw.
 * @param diffId `sha256:…`
 * @throws DigestMismatchError; as `SplitstreamReader.batches`
 */
async function* verifiedPieces(
  repository: Repository,
  reader: SplitstreamReader,
  diffId: string,
  signal?: AbortSignal,
): AsyncGenerator<readonly Piece[]> {
  const hasher = new TarHasher(repository.objects);
  const content = measuredObjects(repository);
  let complete = false;
  try {
    for await (const pieces of reader.batches(signal)) {
      for (let at = 0; at < pieces.length; at += BATCH) {
        const batch = pieces.slice(at, at + BATCH);
        // One after the other: whatever is open belongs to the hasher.
        for (const piece of batch)
          await hasher.take([piece.kind === 'inline' ? { kind: 'bytes', bytes: piece.bytes } : content(piece.id)]);
        yield batch;
      }
    }
    await hasher.check(diffId);
    complete = true;
  } finally {
    if (!complete) await hasher.abandon();
  }
}

/** What to read a layer by: its pieces as they are, or verified where the repository's owner is not believed. */
export function layerPieces(
  repository: Repository,
  reader: SplitstreamReader,
  diffId: string,
  signal?: AbortSignal,
): AsyncIterable<readonly Piece[]> {
  return repository.believed ? reader.batches(signal) : verifiedPieces(repository, reader, diffId, signal);
}
