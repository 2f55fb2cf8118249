import { NotFoundError } from '../errors.js';
import { INVALID_PARAMS, MethodError } from '../rpc/rpc-error.js';
import { handle, type Handlers, type Reply, type RequestContext } from '../rpc/rpc-method.js';
import {
  FEATURE_EXACT, FEATURE_SPLITDIRFDSTREAM, methods,
  type GetImageResult, type GetSplitFDStreamParams, type GetSplitFDStreamResult, type ListImagesResult,
} from '../rpc/splitfdstream-methods.js';
import type { Store } from '../storage/store.js';
import { directoryReply } from './directory-reply.js';
import { fileReply } from './file-reply.js';
import { Leases } from './leases.js';

/**
 * The splitfdstream methods over one containers-storage, for one connection. Layers that were handed out with a lease stay
 * locked until the client closes the lease, or until the service is disposed with its connection.
 */
export class StoreService implements AsyncDisposable {
  readonly #store: Store;
  readonly #signal: AbortSignal;
  readonly #leases = new Leases();

  constructor(store: Store, signal: AbortSignal) {
    this.#store = store;
    this.#signal = signal;
  }

  get handlers(): Handlers {
    return new Map([
      handle(methods.GetInfo, async () => ({ result: { features: [FEATURE_EXACT, FEATURE_SPLITDIRFDSTREAM] } })),
      handle(methods.ListImages, async () => ({ result: await this.#listImages() })),
      handle(methods.GetImage, async ({ imageId }) => ({ result: await this.#getImage(imageId) })),
      handle(methods.GetSplitFDStream, (params, context) => this.#getLayer(params, context)),
    ]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#leases[Symbol.asyncDispose]();
  }

  async #listImages(): Promise<ListImagesResult> {
    const images = [];
    for (const image of await this.#store.images({ signal: this.#signal })) {
      const digest = image.manifestDigests[0];
      if (digest !== undefined) images.push({ id: image.id, names: [...image.names], digest });
    }
    return { images };
  }

  async #getImage(reference: string): Promise<GetImageResult> {
    const image = await this.#store.image(reference, { signal: this.#signal });
    const layers = await this.#store.layers(image, { signal: this.#signal });
    return {
      manifest: image.manifest().toString('utf8'),
      config: image.config().toString('utf8'),
      layerDigests: layers.map(({ id }) => id).reverse(),
      layers: layers.map(({ id, parent, diffId, size }) => ({ id, parentId: parent ?? '', diffId: diffId as string, size: size ?? 0 })),
    };
  }

  async #getLayer(params: GetSplitFDStreamParams, { peer }: RequestContext): Promise<Reply<GetSplitFDStreamResult>> {
    const layer = await this.#store.layer(params.layerId, { signal: this.#signal }).catch((error: unknown) => {
      throw error instanceof NotFoundError ? new MethodError(INVALID_PARAMS, error.message) : error;
    });
    // A client names the layer below to say that it wants the difference; this server has only the one to the real parent.
    const parent = layer.parent ?? '';
    if (params.parentId !== undefined && params.parentId !== parent) {
      throw new MethodError(INVALID_PARAMS, `parentId is "${params.parentId}", the layer's parent is "${parent}"`);
    }
    const open = (): ReturnType<Store['layerStream']> => this.#store.layerStream(layer, { lease: 'lock', signal: this.#signal });
    if (params.format === FEATURE_SPLITDIRFDSTREAM) return directoryReply(await open(), peer, this.#leases, this.#signal);
    return fileReply(open, params.exact ?? false);
  }
}

