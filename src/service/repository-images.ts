import { NotFoundError } from '../errors.js';
import { layerContentId, listImages, openImage } from '../oci/image.js';
import { isDigest } from '../oci/manifest.js';
import { RepositoryLayer } from '../oci/repository-layer.js';
import type { Repository } from '../repository/repository.js';
import type { LayerToSend } from './layer-fds.js';
import type { ServedImage, ServedImages } from './served-images.js';

/** The images of a composefs repository. Layers are known by their diff_ids and have no parents: any image may have them. */
export class RepositoryImages implements ServedImages {
  readonly #repository: Repository;
  readonly #signal: AbortSignal;

  /** @param repository stays the caller's, and open as long as this is used */
  constructor(repository: Repository, signal: AbortSignal) {
    this.#repository = repository;
    this.#signal = signal;
  }

  async list(): Promise<{ id: string; names: string[]; digest: string }[]> {
    const names = new Map<string, string[]>();
    const { images } = await listImages(this.#repository);
    for (const { name, manifest_digest: digest, is_container: isContainer } of images) {
      if (isContainer) names.set(digest, [...(names.get(digest) ?? []), name]);
    }
    return [...names].map(([digest, all]) => ({ id: `@${digest}`, names: all, digest }));
  }

  async image(reference: string): Promise<ServedImage> {
    const { manifestStream, configStream, config } = await openImage(this.#repository, reference);
    if (config === undefined) throw new NotFoundError(`${reference} is an artifact, which has no layers`);
    return { manifest: manifestStream.bytes, config: configStream.bytes, layers: config.rootfs.diff_ids.map((diffId) => ({ id: diffId, diffId, size: undefined })) };
  }

  async layer(id: string): Promise<() => Promise<LayerToSend>> {
    // The id becomes part of a path.
    const stream = isDigest(id) ? this.#repository.streamObject(layerContentId(id)) : undefined;
    if (stream === undefined) throw new NotFoundError('no such layer in the repository', { place: { layer: id } });
    return async () => ({ layer: new RepositoryLayer(this.#repository, stream, this.#signal), directory: this.#repository.objects.dir });
  }
}
