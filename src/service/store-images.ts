import type { PeerCredentials } from '../fd/fd-passing.js';
import { INVALID_PARAMS, MethodError } from '../rpc/rpc-error.js';
import type { Platform } from '../spec/platform.js';
import type { Store } from '../storage/store.js';
import { lendOpen, type LayerToSend } from './lend.js';
import type { ServedImage, ServedImages } from './served-images.js';

/** What clients understand; an image of another one, or none, is left out of the list. */
const SHA256 = /^sha256:[0-9a-f]{64}$/;

/** The images of a containers-storage. A layer stays locked while it is read. */
export class StoreImages implements ServedImages {
  readonly #store: Store;
  readonly #peer: PeerCredentials;
  readonly #signal: AbortSignal;

  constructor(store: Store, peer: PeerCredentials, signal: AbortSignal) {
    this.#store = store;
    this.#peer = peer;
    this.#signal = signal;
  }

  async list(): Promise<{ id: string; names: string[]; digest: string }[]> {
    const images = [];
    for (const image of await this.#store.images({ signal: this.#signal })) {
      const digest = image.manifestDigests.find((candidate) => SHA256.test(candidate));
      if (digest !== undefined) images.push({ id: image.id, names: [...image.names], digest });
    }
    return images;
  }

  async image(reference: string, platform: Platform | undefined): Promise<ServedImage> {
    const image = await this.#store.image(reference, { platform, signal: this.#signal });
    const layers = await this.#store.layers(image, { signal: this.#signal });
    return {
      manifest: image.manifest(),
      config: image.config(),
      layers: layers.map(({ id, diffId, size }) => ({ id, diffId: diffId as string, size })),
    };
  }

  async layer(id: string, parentId: string | undefined): Promise<() => Promise<LayerToSend>> {
    const found = await this.#store.layer(id, { signal: this.#signal });
    // A client names the layer below to say that it wants the difference; a store has only the one to the real parent.
    const parent = found.parent ?? '';
    if (parentId !== undefined && parentId !== parent)
      throw new MethodError(INVALID_PARAMS, `parentId is "${parentId}", the layer's parent is "${parent}"`);
    return async () => {
      return await lendOpen(await this.#store.layerStream(found, { lease: 'lock', signal: this.#signal }), this.#peer);
    };
  }
}
