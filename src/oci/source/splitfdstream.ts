import { connect, type Fd } from '../../fd/fd-passing.js';
import { BridgeError } from '../../errors.js';
import { sourceFromFd } from '../../layer/byte-source.js';
import { completeLegacyTar } from '../../layer/legacy-tar.js';
import { decodeSplitdirfdstream } from '../../layer/splitdirfdstream-decoder.js';
import { decodeSplitfdstream } from '../../layer/splitfdstream.js';
import type { LayerStream } from '../../layer/stream.js';
import { JsonRpcConnection } from '../../rpc/jsonrpc-fdpass.js';
import { RpcProtocolError } from '../../rpc/rpc-error.js';
import { getFeatures, getSplitFDStream } from '../../rpc/splitfdstream-client.js';
import { FEATURE_EXACT, FEATURE_SPLITDIRFDSTREAM, methods, type GetImageResult, type GetSplitFDStreamParams, type ListImagesResult } from '../../rpc/splitfdstream-methods.js';
import { parseConfig } from '../manifest.js';
import { SILENCE_LIMIT, withSilenceLimit } from './silence.js';
import type { ImageSource, LayerSource } from './source.js';

export interface SplitfdstreamOptions {
  signal?: AbortSignal | undefined;
  /** milliseconds; default SILENCE_LIMIT */
  silenceLimit?: number | undefined;
}

/**
 * An image behind a splitfdstream socket. With servers that know the extensions of `proto/splitfdstream.md`, layers come as names below
 * their directory; with others as one descriptor per file, and their tars without padding, which is put back.
 * @param path of the socket
 * @param reference what the server's store knows the image by
 * @throws SocketError, RemoteError, RpcProtocolError; BridgeError `RPC_TIMEOUT`
 */
export async function openSplitfdstreamImage(path: string, reference: string, options: SplitfdstreamOptions = {}): Promise<ImageSource> {
  const timeout = options.silenceLimit ?? SILENCE_LIMIT;
  const signal = options.signal ?? new AbortController().signal;
  const connection = await connect(path, { signal, idleTimeout: timeout });
  const { uid } = connection.peer;
  const rpc = new JsonRpcConnection(connection);
  try {
    const trusted = uid === 0 || uid === process.geteuid?.();
    const features = await getFeatures(rpc, { timeout });
    // Names are opened with this process's rights: a stranger could point at files that only this process may read. What
    // comes as a descriptor to read from, the stranger could read.
    if (!trusted) features.delete(FEATURE_SPLITDIRFDSTREAM);
    const { result, fds } = await rpc.call(methods.GetImage, { imageId: reference }, { timeout });
    closeAll(fds);
    return {
      manifest: Buffer.from(result.manifest, 'utf8'),
      config: Buffer.from(result.config, 'utf8'),
      layers: layerSources(rpc, result, features, timeout),
      trusted,
      parallelLayers: features.has(FEATURE_SPLITDIRFDSTREAM) ? 2 : 1,
      [Symbol.asyncDispose]: async () => rpc.close(),
    };
  } catch (error) {
    rpc.close();
    throw error;
  }
}

/** The images of a server that knows the extensions. @throws as openSplitfdstreamImage */
export async function listSplitfdstreamImages(path: string, options: SplitfdstreamOptions = {}): Promise<ListImagesResult['images']> {
  const timeout = options.silenceLimit ?? SILENCE_LIMIT;
  using rpc = new JsonRpcConnection(await connect(path, { ...(options.signal ? { signal: options.signal } : {}), idleTimeout: timeout }));
  const { result, fds } = await rpc.call(methods.ListImages, {}, { timeout });
  closeAll(fds);
  return result.images;
}

function layerSources(rpc: JsonRpcConnection, image: GetImageResult, features: ReadonlySet<string>, timeout: number): LayerSource[] {
  const ids = image.layers?.map(({ id }) => id) ?? [...image.layerDigests].reverse();
  const diffIds = image.layers?.map(({ diffId }) => diffId) ?? parseConfig(Buffer.from(image.config)).rootfs.diff_ids;
  if (ids.length !== diffIds.length) {
    throw new BridgeError('LAYER_CHAIN', `the server names ${ids.length} layers of the image, its config ${diffIds.length}`);
  }
  return ids.map((layerId, index) => ({
    diffId: diffIds[index] as string,
    size: image.layers?.[index]?.size || undefined,
    open: (signal) => openLayer(rpc, extended({ layerId, parentId: ids[index - 1] ?? '' }, features), timeout, signal),
  }));
}

function extended(params: GetSplitFDStreamParams, features: ReadonlySet<string>): GetSplitFDStreamParams {
  if (features.has(FEATURE_SPLITDIRFDSTREAM)) return { ...params, format: FEATURE_SPLITDIRFDSTREAM };
  return features.has(FEATURE_EXACT) ? { ...params, exact: true } : params;
}

async function openLayer(rpc: JsonRpcConnection, params: GetSplitFDStreamParams, timeout: number, signal: AbortSignal): Promise<LayerStream> {
  const reply = await getSplitFDStream(rpc, params, { timeout, signal });
  const lent = reply.format === 'splitfdstream' ? reply.files : [...reply.dirs, reply.lease];
  try {
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
