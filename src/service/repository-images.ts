import { NotFoundError } from '../errors.js';
import type { PeerCredentials } from '../fd/fd-passing.js';
import { HashedLayer } from '../oci/image/hashed-layer.js';
import { layerContentId } from '../repository/names.js';
import { listImages, openImage } from '../oci/image/image.js';
import { isDigest } from '../spec/manifest.js';
import { measuredObjects, RepositoryLayer } from '../oci/image/repository-layer.js';
import type { Repository } from '../repository/repository.js';
import { contentOnly, lend, type LayerToSend } from './lend.js';
import type { ServedImage, ServedImages } from './served-images.js';

/**
 * The images of a composefs repository. Layers are known by their diff_ids and have no parents: any image may have
 * them.
 */
export class RepositoryImages implements ServedImages {
  readonly #repository: Repository;
  readonly #peer: PeerCredentials;
  readonly #signal: AbortSignal;

  /** @param repository stays the caller's, and open as long as this is used */
  constructor(repository: Repository, peer: PeerCredentials, signal: AbortSignal) {
    this.#repository = repository;
    this.#peer = peer;
    this.#signal = signal;
  }

  async list(): Promise<{ id: string; names: string[]; digest: string }[]> {
    const names = new Map<string, string[]>();
    const { images } = await listImages(this.#repository);
    for (const { name, manifestDigest: digest, isContainer } of images) {
      if (isContainer) names.set(digest, [...(names.get(digest) ?? []), name]);
    }
    return [...names].map(([digest, all]) => ({ id: `@${digest}`, names: all, digest }));
  }

  async image(reference: string): Promise<ServedImage> {
    const { manifestStream, configStream, config } = await openImage(this.#repository, reference);
    if (config === undefined) throw new NotFoundError(`${reference} is an artifact, which has no layers`);
    return {
      manifest: manifestStream.bytes,
      config: configStream.bytes,
      layers: config.rootfs.diff_ids.map((diffId) => ({ id: diffId, diffId, size: undefined })),
    };
  }

  async layer(id: string): Promise<() => Promise<LayerToSend>> {
    // The id becomes part of a path.
    const stream = isDigest(id) ? this.#repository.streamObject(layerContentId(id)) : undefined;
    if (stream === undefined) throw new NotFoundError('no such layer in the repository', { place: { layer: id } });
    if (!this.#repository.believed)
      return async () => contentOnly(new HashedLayer(this.#repository, stream, id, this.#signal));
    return () =>
      lend(
        this.#repository.objects.dir,
        this.#peer,
        (within) =>
          new RepositoryLayer(this.#repository, stream, this.#signal, measuredObjects(this.#repository, within)),
      );
  }
}
