import { NotFoundError } from '../errors.js';
import type { Connection, PeerCredentials } from '../fd/fd-passing.js';
import { readableFor } from '../layer/readable-for.js';
import { INVALID_PARAMS, MethodError } from '../rpc/rpc-error.js';
import { implement, type Handlers, type Reply, type RequestContext } from '../rpc/jsonrpc/method.js';
import { FEATURE_SPLITDIRFDSTREAM } from '../rpc/contracts/features.js';
import {
  FEATURE_EXACT,
  FEATURE_PLATFORM,
  methods,
  type GetImageResult,
  type GetSplitFDStreamParams,
  type GetSplitFDStreamResult,
} from '../rpc/contracts/splitfdstream.js';
import { parsePlatform } from '../spec/platform.js';
import { FileReplies } from './file-replies.js';
import { fileReply } from './file-reply.js';
import { layerFds } from './layer-fds.js';
import { Leases } from './leases.js';
import type { LayerToSend } from './lend.js';
import type { ServedImages } from './served-images.js';
import type { ClientShare } from './shares.js';

/**
 * The splitfdstream methods over some images, for one connection. Layers that were handed out with a lease stay locked
 * until the client closes the lease, or until the service is disposed with its connection.
 */
export class SplitfdstreamService implements AsyncDisposable {
  readonly #images: ServedImages;
  readonly #signal: AbortSignal;
  readonly #replies: FileReplies;
  readonly #leases: Leases;

  /** @param connection on which it is answered */
  constructor(images: ServedImages, connection: Connection, share: ClientShare, signal: AbortSignal) {
    this.#images = images;
    this.#signal = signal;
    this.#replies = new FileReplies(connection, share, signal);
    this.#leases = new Leases(share);
  }

  get handlers(): Handlers {
    return new Map([
      implement(methods.GetInfo, async () => ({
        result: { features: [FEATURE_EXACT, FEATURE_SPLITDIRFDSTREAM, FEATURE_PLATFORM] },
      })),
      implement(methods.ListImages, async () => ({ result: { images: await this.#images.list() } })),
      implement(methods.GetImage, async ({ imageId, platform }) => ({
        result: await this.#getImage(imageId, platform),
      })),
      implement(methods.GetSplitFDStream, (params, context) => this.#getLayer(params, context)),
    ]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#replies[Symbol.dispose]();
    await this.#leases[Symbol.asyncDispose]();
  }

  async #getImage(reference: string, platform: string | undefined): Promise<GetImageResult> {
    const { manifest, config, layers } = await this.#images.image(
      reference,
      platform === undefined ? undefined : parsePlatform(platform),
    );
    return {
      manifest: manifest.toString('utf8'),
      config: config.toString('utf8'),
      layerDigests: layers.map(({ id }) => id).reverse(),
      layers: layers.map(({ id, diffId, size }, index) => ({
        id,
        parentId: layers[index - 1]?.id ?? '',
        diffId,
        size: size ?? 0,
      })),
    };
  }

  async #getLayer(
    { layerId, parentId, format, exact = false }: GetSplitFDStreamParams,
    { peer }: RequestContext,
  ): Promise<Reply<GetSplitFDStreamResult>> {
    const open = await this.#images.layer(layerId, parentId).catch((error: unknown) => {
      throw error instanceof NotFoundError ? new MethodError(INVALID_PARAMS, error.message) : error;
    });
    if (format === FEATURE_SPLITDIRFDSTREAM) return this.#directoryReply(await open(), peer);
    return this.#replies.next(() => fileReply(open, exact));
  }

  /** A layer as names below its directory. It is kept until the client closes the last descriptor. */
  async #directoryReply(layer: LayerToSend, peer: PeerCredentials): Promise<Reply<GetSplitFDStreamResult>> {
    const fds = await layerFds(layer, readableFor(peer), this.#leases, this.#signal);
    return { result: { format: FEATURE_SPLITDIRFDSTREAM, dirCount: 1, exact: true }, fds };
  }
}
