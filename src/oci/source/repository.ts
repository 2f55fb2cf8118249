import { NotFoundError } from '../../errors.js';
import { bytesSource, type ByteSource } from '../../fd/byte-source.js';
import { mergedStream } from '../../repository/splitstream/merged.js';
import type { ObjectId } from '../../fsverity/object-id.js';
import type { Repository } from '../../repository/repository.js';
import { openImage, type RepositoryImage } from '../image/image.js';
import { packedBlob } from '../pull/packed.js';
import { PARALLEL_LAYERS } from './parallel-layers.js';
import { RepositoryLayer } from '../image/repository-layer.js';
import { imageSource } from './image-source.js';
import type { ImageSource } from './source.js';

/**
 * An image or artifact of another repository. Layers come as their objects, so that they can be shared.
 * @param repository stays the caller's, and open as long as the image is used
 * @param reference a tag, or `@` and the digest of a manifest
 * @throws NotFoundError, FormatError, DigestMismatchError
 * @example
 * ```ts
 * import { openRepositoryImage, Repository } from 'composefs-bridge';
 *
 * using repository = await Repository.open('/var/lib/images');
 * await using image = await openRepositoryImage(repository, 'debian');
 * console.log(image.layers.length, image.canShare); // 1 true
 * ```
 */
export async function openRepositoryImage(repository: Repository, reference: string): Promise<ImageSource> {
  const image = await openImage(repository, reference);
  return imageSource({
    manifest: image.manifestStream.bytes,
    config: image.configStream.bytes,
    layers: (diffIds) =>
      diffIds.map((diffId, index) => {
        const stream = streamOf(image, diffId);
        const listed = image.manifest.layers[index];
        return {
          diffId,
          size: undefined,
          packed: listed && packedBlob(repository, listed, stream),
          open: async (signal) => new RepositoryLayer(repository, stream, signal),
        };
      }),
    openBlob: async ({ digest }) => streamBytes(repository, streamOf(image, digest)),
    findBlob: async (digest) => {
      if (digest === image.configStream.digest) {
        const { bytes } = image.configStream;
        return { size: bytes.length, bytes: bytesSource(bytes) };
      }
      const size = image.manifest.layers.find((layer) => layer.digest === digest)?.size;
      return { size, bytes: streamBytes(repository, streamOf(image, digest)) };
    },
    trusted: repository.believed,
    canShare: true,
    parallelLayers: PARALLEL_LAYERS.content,
    close: () => undefined,
  });
}

function streamOf({ manifestStream, configStream }: RepositoryImage, digest: string): ObjectId {
  const stream = manifestStream.namedRefs.get(digest) ?? configStream.namedRefs.get(digest);
  if (stream === undefined)
    throw new NotFoundError(`the image in the repository has no reference to its layer ${digest}`);
  return stream;
}

function streamBytes(repository: Repository, stream: ObjectId): ByteSource {
  const reader = repository.openStream(stream);
  return {
    [Symbol.asyncIterator]: () => mergedStream(repository.objects, reader),
    [Symbol.asyncDispose]: async () => reader[Symbol.dispose](),
  };
}
