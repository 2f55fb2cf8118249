import { NotFoundError } from '../errors.js';
import { INVALID_PARAMS, MethodError } from '../rpc/rpc-error.js';
import { handle, type Handlers, type Reply, type RequestContext } from '../rpc/rpc-method.js';
import {
  FEATURE_EXACT, FEATURE_SPLITDIRFDSTREAM, methods,
  type GetImageResult, type GetSplitFDStreamParams, type GetSplitFDStreamResult,
} from '../rpc/splitfdstream-methods.js';
import { directoryReply } from './directory-reply.js';
import { fileReply } from './file-reply.js';
import { Leases } from './leases.js';
import type { ServedImages } from './served-images.js';

/**
 * The splitfdstream methods over some images, for one connection. Layers that were handed out with a lease stay locked until the
 * client closes the lease, or until the service is disposed with its connection.
 */
export class SplitfdstreamService implements AsyncDisposable {
  readonly #images: ServedImages;
  readonly #signal: AbortSignal;
  readonly #leases = new Leases();

  constructor(images: ServedImages, signal: AbortSignal) {
    this.#images = images;
    this.#signal = signal;
  }

  get handlers(): Handlers {
    return new Map([
      handle(methods.GetInfo, async () => ({ result: { features: [FEATURE_EXACT, FEATURE_SPLITDIRFDSTREAM] } })),
      handle(methods.ListImages, async () => ({ result: { images: await this.#images.list() } })),
      handle(methods.GetImage, async ({ imageId }) => ({ result: await this.#getImage(imageId) })),
      handle(methods.GetSplitFDStream, (params, context) => this.#getLayer(params, context)),
    ]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#leases[Symbol.asyncDispose]();
  }

  async #getImage(reference: string): Promise<GetImageResult> {
    const { manifest, config, layers } = await this.#images.image(reference);
    return {
      manifest: manifest.toString('utf8'),
      config: config.toString('utf8'),
      layerDigests: layers.map(({ id }) => id).reverse(),
      layers: layers.map(({ id, diffId, size }, index) => ({ id, parentId: layers[index - 1]?.id ?? '', diffId, size: size ?? 0 })),
    };
  }

  async #getLayer({ layerId, parentId, format, exact = false }: GetSplitFDStreamParams, { peer }: RequestContext): Promise<Reply<GetSplitFDStreamResult>> {
    const open = await this.#images.layer(layerId, parentId).catch((error: unknown) => {
      throw error instanceof NotFoundError ? new MethodError(INVALID_PARAMS, error.message) : error;
    });
    if (format === FEATURE_SPLITDIRFDSTREAM) return directoryReply(await open(), peer, this.#leases, this.#signal);
    return fileReply(async () => (await open()).layer, exact);
  }
}
