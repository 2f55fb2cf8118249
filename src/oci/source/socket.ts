import { connect, type Fd } from '../../fd/fd-passing.js';
import { BridgeError } from '../../errors.js';
import { sourceFromFd, type ByteSource } from '../../layer/byte-source.js';
import { completeLegacyTar } from '../../layer/legacy-tar.js';
import { decodeSplitdirfdstream } from '../../layer/splitdirfdstream-decoder.js';
import { decodeSplitfdstream } from '../../layer/splitfdstream.js';
import type { LayerStream } from '../../layer/stream.js';
import { JsonRpcConnection } from '../../rpc/jsonrpc-fdpass.js';
import { RpcProtocolError } from '../../rpc/rpc-error.js';
import { getFeatures, getSplitFDStream } from '../../rpc/splitfdstream-client.js';
import { FEATURE_EXACT, FEATURE_SPLITDIRFDSTREAM, methods, type GetImageResult, type GetSplitFDStreamParams, type ListImagesResult } from '../../rpc/splitfdstream-methods.js';
import { parseConfig } from '../manifest.js';
import type { ImageSource, LayerSource } from './source.js';

/** How long a server may be silent where it has something to say, in milliseconds. */
export const SILENCE_LIMIT = 60_000;

export interface SocketSourceOptions {
  signal?: AbortSignal | undefined;
  /** milliseconds; default SILENCE_LIMIT */
  silenceLimit?: number;
}

/**
 * An image behind a splitfdstream socket. With servers that know the extensions of `proto/splitfdstream.md`, layers come as names below
 * their directory; with others as one descriptor per file, and their tars without padding, which is put back.
 * @param path of the socket
 * @param reference what the server's store knows the image by
 * @throws SocketError, RemoteError, RpcProtocolError; BridgeError `RPC_TIMEOUT`
 */
export async function openSocketImage(path: string, reference: string, options: SocketSourceOptions = {}): Promise<ImageSource> {
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

/** The images of a server that knows the extensions. @throws as openSocketImage */
export async function listSocketImages(path: string, options: SocketSourceOptions = {}): Promise<ListImagesResult['images']> {
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

/** The same bytes; a pause of more than `limit` milliseconds, or the signal, ends them with an error. */
function withSilenceLimit(source: ByteSource, limit: number, signal: AbortSignal): ByteSource {
  return {
    async *[Symbol.asyncIterator]() {
      const pieces = source[Symbol.asyncIterator]();
      for (;;) {
        const piece = await orSilence(pieces.next(), limit, signal);
        if (piece.done) return;
        yield piece.value;
      }
    },
    [Symbol.asyncDispose]: () => source[Symbol.asyncDispose](),
  };
}

async function orSilence<T>(next: Promise<T>, limit: number, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  let stop = (): void => {};
  const silence = new Promise<never>((_, reject) => {
    const timer = setTimeout(() => reject(new BridgeError('PEER_SILENT', `the server sent nothing for ${limit / 1000} s in the middle of a layer`)), limit);
    const onAbort = (): void => reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    stop = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
    };
  });
  try {
    return await Promise.race([next, silence]);
  } finally {
    stop();
  }
}

function closeAll(fds: readonly Fd[]): void {
  for (const fd of fds) fd.close();
}
