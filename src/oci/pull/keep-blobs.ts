// Blobs that stay in the repository as they were published, so that a push can send them again to the bit.
import { BridgeError } from '../../errors.js';
import type { ByteSource } from '../../fd/byte-source.js';
import type { ObjectId } from '../../fsverity/object-id.js';
import { mergedStream } from '../../repository/splitstream/merged.js';
import type { Repository } from '../../repository/repository.js';
import type { Manifest } from '../../spec/manifest.js';
import { inParallel } from '../in-parallel.js';
import { tarBlob } from '../source/blobs/tar-blob.js';
import type { BlobSource, ImageSource, LayerSource } from '../source/source.js';
import { obtainBlob } from './import-blob.js';

export interface KeptBlobs {
  /** streams by the blobs' digests, for the manifest's to refer to */
  streams: ReadonlyMap<string, ObjectId>;
  /** the same image, whose layers come from the kept blobs */
  source: ImageSource;
}

/**
 * Stores the compressed blobs of an image's layers, as artifacts' blobs are stored. A layer that is no more than its
 * tar needs no other blob.
 * @throws BridgeError `NO_BLOBS` when the source has unpacked layers; as `obtainBlob`
 */
export async function keepBlobs(
  repository: Repository,
  manifest: Manifest,
  source: ImageSource,
  signal: AbortSignal | undefined,
): Promise<KeptBlobs> {
  const blobs = new Map<string, BlobSource>();
  for (const [index, { diffId, blob }] of source.layers.entries()) {
    const digest = manifest.layers[index]?.digest;
    if (digest === diffId) continue;
    if (blob === undefined || blob.digest !== digest)
      throw new BridgeError(
        'NO_BLOBS',
        `layer ${diffId} comes unpacked from here: its blob ${digest ?? ''} cannot be kept; ` +
          'pull from where the image lies as blobs',
      );
    blobs.set(digest, blob);
  }
  const streams = new Map(
    await inParallel([...blobs.values()], source.parallelLayers, signal, async (blob, stop) => {
      const { stream } = await obtainBlob(repository, blob, stop);
      return [blob.digest, stream] as const;
    }),
  );
  const layers = source.layers.map((layer): LayerSource => {
    const digest = layer.blob?.digest;
    const stream = digest === undefined ? undefined : streams.get(digest);
    if (digest === undefined || stream === undefined) return layer;
    return { ...layer, open: async ({ signal: stop } = {}) => tarBlob(bytesOf(repository, stream, stop), digest) };
  });
  return { streams, source: { ...source, layers } };
}

function bytesOf(repository: Repository, stream: ObjectId, signal: AbortSignal | undefined): ByteSource {
  const reader = repository.openStream(stream);
  return {
    async *[Symbol.asyncIterator]() {
      // A decompressor still reads a piece when it asks for the next one, for which the same memory is used.
      for await (const piece of mergedStream(repository.objects, reader, signal)) yield Buffer.from(piece);
    },
    [Symbol.asyncDispose]: async () => reader[Symbol.dispose](),
  };
}
