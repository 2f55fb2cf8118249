import { INVALID_PARAMS, MethodError } from '../rpc/rpc-error.js';
import type { Store } from '../storage/store.js';
import type { LayerToSend } from './layer-fds.js';
import type { ServedImage, ServedImages } from './served-images.js';

/** The images of a containers-storage. A layer stays locked while it is read. */
export class StoreImages implements ServedImages {
  readonly #store: Store;
  readonly #signal: AbortSignal;

  constructor(store: Store, signal: AbortSignal) {
    this.#store = store;
    this.#signal = signal;
  }

  async list(): Promise<{ id: string; names: string[]; digest: string }[]> {
    const images = [];
    for (const image of await this.#store.images({ signal: this.#signal })) {
      const digest = image.manifestDigests[0];
      if (digest !== undefined) images.push({ id: image.id, names: [...image.names], digest });
    }
    return images;
  }

  async image(reference: string): Promise<ServedImage> {
    const image = await this.#store.image(reference, { signal: this.#signal });
    const layers = await this.#store.layers(image, { signal: this.#signal });
    return { manifest: image.manifest(), config: image.config(), layers: layers.map(({ id, diffId, size }) => ({ id, diffId: diffId as string, size })) };
  }

  async layer(id: string, parentId: string | undefined): Promise<() => Promise<LayerToSend>> {
    const found = await this.#store.layer(id, { signal: this.#signal });
    // A client names the layer below to say that it wants the difference; a store has only the one to the real parent.
    const parent = found.parent ?? '';
    if (parentId !== undefined && parentId !== parent) throw new MethodError(INVALID_PARAMS, `parentId is "${parentId}", the layer's parent is "${parent}"`);
    return async () => {
      const layer = await this.#store.layerStream(found, { lease: 'lock', signal: this.#signal });
      return { layer, directory: layer.directory };
    };
  }
}
