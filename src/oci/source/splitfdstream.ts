import type { Abortable } from '../../abortable.js';
import { connect, type Fd } from '../../fd/fd-passing.js';
import { sourceFromFd } from '../../fd/byte-source.js';
import { completeLegacyTar } from '../../layer/legacy-tar.js';
import { decodeSplitdirfdstream } from '../../layer/splitdirfdstream-decoder.js';
import { decodeSplitfdstream } from '../../layer/splitfdstream.js';
import type { LayerStream } from '../../layer/stream.js';
import { JsonRpcConnection } from '../../rpc/jsonrpc/connection.js';
import { RpcProtocolError } from '../../rpc/rpc-error.js';
import { getFeatures, getSplitFDStream } from '../../rpc/jsonrpc/client.js';
import { FEATURE_SPLITDIRFDSTREAM } from '../../rpc/contracts/features.js';
import {
  FEATURE_EXACT,
  FEATURE_PLATFORM,
  methods,
  type GetImageResult,
  type GetSplitFDStreamParams,
  type ListImagesResult,
} from '../../rpc/contracts/splitfdstream.js';
import { showPlatform, type Platform } from '../../spec/platform.js';
import { forEachLayer, imageSource, type LayerPart } from './image-source.js';
import { PARALLEL_LAYERS } from './parallel-layers.js';
import { SILENCE_LIMIT, withSilenceLimit } from './silence.js';
import type { ImageSource } from './source.js';
import { ForeignFd } from '../../fd/foreign-fd.js';
import { isRootOrSelf } from '../../fd/peer.js';

export interface SplitfdstreamOptions extends Abortable {
  /** milliseconds; default SILENCE_LIMIT */
  silenceLimit?: number | undefined;
  /** which image of a manifest list to take; default: the one the server runs on */
  platform?: Platform | undefined;
}

/**
 * An image behind a splitfdstream socket. With servers that know the extensions of `proto/splitfdstream.md`, layers
 * come as names below their directory; with others as one descriptor per file, and their tars without padding, which is
 * put back.
 * @param path of the socket
 * @param reference what the server's store knows the image by
 * @throws SocketError, RemoteError, RpcProtocolError; BridgeError `RPC_TIMEOUT`
 * @example
 * ```ts
 * import { openSplitfdstreamImage } from 'composefs-bridge';
 *
 * await using source = await openSplitfdstreamImage('/run/store.sock', 'docker.io/library/debian:12');
 * console.log(source.layers.length); // 1
 * ```
 */
export async function openSplitfdstreamImage(
  path: string,
  reference: string,
  options: SplitfdstreamOptions = {},
): Promise<ImageSource> {
  const timeout = options.silenceLimit ?? SILENCE_LIMIT;
  const signal = options.signal ?? new AbortController().signal;
  const connection = await connect(path, { signal, idleTimeout: timeout });
  const { uid } = connection.peer;
  const rpc = new JsonRpcConnection(connection);
  try {
    const trusted = isRootOrSelf(uid);
    const features = await getFeatures(rpc, { timeout });
    // Names are opened with this process's rights: a stranger could point at files that only this process may read.
    // What comes as a descriptor to read from, the stranger could read.
    if (!trusted) features.delete(FEATURE_SPLITDIRFDSTREAM);
    const choice =
      options.platform !== undefined && features.has(FEATURE_PLATFORM)
        ? { platform: showPlatform(options.platform) }
        : {};
    const { result, fds } = await rpc.call(methods.GetImage, { imageId: reference, ...choice }, { timeout });
    closeAll(fds);
    return imageSource({
      manifest: Buffer.from(result.manifest, 'utf8'),
      config: Buffer.from(result.config, 'utf8'),
      layers: (diffIds) => layerSources(rpc, result, diffIds, features, timeout),
      trusted,
      canShare: true,
      silenceLimit: timeout,
      parallelLayers: features.has(FEATURE_SPLITDIRFDSTREAM) ? PARALLEL_LAYERS.lendingServer : PARALLEL_LAYERS.server,
      close: () => rpc.close(),
    });
  } catch (error) {
    rpc.close();
    throw error;
  }
}

/**
 * The images of a server that knows the extensions. @throws as openSplitfdstreamImage
 * @example
 * ```ts
 * import { listSplitfdstreamImages } from 'composefs-bridge';
 *
 * for (const { names } of await listSplitfdstreamImages('/run/store.sock'))
 *   console.log(names); // [ '…' ]
 * ```
 */
export async function listSplitfdstreamImages(
  path: string,
  options: SplitfdstreamOptions = {},
): Promise<ListImagesResult['images']> {
  const timeout = options.silenceLimit ?? SILENCE_LIMIT;
  using rpc = new JsonRpcConnection(
    await connect(path, { ...(options.signal ? { signal: options.signal } : {}), idleTimeout: timeout }),
  );
  const { result, fds } = await rpc.call(methods.ListImages, {}, { timeout });
  closeAll(fds);
  return result.images;
}

function layerSources(
  rpc: JsonRpcConnection,
  image: GetImageResult,
  diffIds: readonly string[],
  features: ReadonlySet<string>,
  timeout: number,
): LayerPart[] {
  const ids = image.layers?.map(({ id }) => id) ?? [...(image.layerDigests ?? [])].reverse();
  return forEachLayer(diffIds, ids, 'the server names', (diffId, layerId, index) => ({
    // What a server calls its layer is compared with the config before any is read.
    diffId: image.layers?.[index]?.diffId ?? diffId,
    size: image.layers?.[index]?.size || undefined,
    open: (signal) => openLayer(rpc, extended({ layerId, parentId: ids[index - 1] ?? '' }, features), timeout, signal),
  }));
}

function extended(params: GetSplitFDStreamParams, features: ReadonlySet<string>): GetSplitFDStreamParams {
  if (features.has(FEATURE_SPLITDIRFDSTREAM)) return { ...params, format: FEATURE_SPLITDIRFDSTREAM };
  return features.has(FEATURE_EXACT) ? { ...params, exact: true } : params;
}

async function openLayer(
  rpc: JsonRpcConnection,
  params: GetSplitFDStreamParams,
  timeout: number,
  signal: AbortSignal,
): Promise<LayerStream> {
  const reply = await getSplitFDStream(rpc, params, { timeout, signal });
  const lent = reply.format === 'splitfdstream' ? reply.files : [...reply.dirs, reply.lease];
  try {
    await ForeignFd.check([reply.stream, ...lent], signal);
    if (reply.format !== 'splitfdstream' && params.format === undefined) {
      throw new RpcProtocolError('INVALID_RESULT', 'the server sent names below directories, which nobody asked for');
    }
    const bytes = withSilenceLimit(sourceFromFd(reply.stream), timeout, signal);
    if (reply.format !== 'splitfdstream') return decodeSplitdirfdstream(bytes, reply.dirs, [reply.lease]);
    const layer = decodeSplitfdstream(bytes, reply.files);
    return reply.exact ? layer : completeLegacyTar(layer);
  } catch (error) {
    closeAll([reply.stream, ...lent]);
    throw error;
  }
}

function closeAll(fds: readonly Fd[]): void {
  for (const fd of fds) fd.close();
}
