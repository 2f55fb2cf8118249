import { NotFoundError } from '../../errors.js';
import type { ByteSource } from '../../layer/byte-source.js';
import { mergedStream } from '../../repository/merged-stream.js';
import type { ObjectId } from '../../repository/object-id.js';
import type { Repository } from '../../repository/repository.js';
import { openImage, type StoredImage } from '../image.js';
import { PARALLEL_LAYERS } from '../blob/parallel-layers.js';
import { RepositoryLayer } from '../repository-layer.js';
import type { BlobSource, ImageSource, LayerSource } from './source.js';

/**
 * An image or artifact of another repository. Layers come as their objects, so that they can be shared.
 * @param repository stays the caller's, and open as long as the image is used
 * @param reference a tag, or `@` and the digest of a manifest
 * @throws NotFoundError, FormatError, DigestMismatchError
 */
export async function openRepositoryImage(repository: Repository, reference: string): Promise<ImageSource> {
  const image = await openImage(repository, reference);
  const { uid } = repository.root.stat();
  return {
    manifest: image.manifestStream.bytes,
    config: image.configStream.bytes,
    layers: layersOf(repository, image),
    blobs: blobsOf(repository, image),
    trusted: uid === 0 || uid === process.geteuid?.(),
    parallelLayers: PARALLEL_LAYERS,
    [Symbol.asyncDispose]: async () => undefined,
  };
}

function layersOf(repository: Repository, image: StoredImage): LayerSource[] {
  return (image.config?.rootfs.diff_ids ?? []).map((diffId) => {
    const stream = streamOf(image, diffId);
    return { diffId, size: undefined, open: async (signal) => new RepositoryLayer(repository, stream, signal) };
  });
}

function blobsOf(repository: Repository, image: StoredImage): BlobSource[] {
  if (image.config !== undefined) return [];
  return image.manifest.layers.map(({ digest, size }) => {
    const stream = streamOf(image, digest);
    return { digest, size, open: () => streamBytes(repository, stream) };
  });
}

function streamOf({ manifestStream, configStream }: StoredImage, digest: string): ObjectId {
  const stream = manifestStream.namedRefs.get(digest) ?? configStream.namedRefs.get(digest);
  if (stream === undefined) throw new NotFoundError(`the image in the repository has no reference to its layer ${digest}`);
  return stream;
}

function streamBytes(repository: Repository, stream: ObjectId): ByteSource {
  const reader = repository.openStream(stream);
  return {
    [Symbol.asyncIterator]: () => mergedStream(repository.objects, reader),
    [Symbol.asyncDispose]: async () => reader[Symbol.dispose](),
  };
}
