import type { Abortable } from '../../../abortable.js';
import { debug } from '../../../debug.js';
import { BridgeError, FormatError, NotFoundError } from '../../../errors.js';
import { fromFd } from '../../../fd/fd-passing.js';
import { DOCUMENT_LIMIT } from '../../../limits.js';
import { proxyMethods } from '../../../rpc/contracts/image-proxy.js';
import { ProxyError } from '../../../rpc/proxy/proxy-error.js';
import { RpcProtocolError } from '../../../rpc/rpc-error.js';
import { VarlinkRemoteError } from '../../../rpc/varlink/varlink-error.js';
import { layerKind } from '../../../spec/layer-types.js';
import {
  checkDigest,
  digestLike,
  isDigest,
  parseManifest,
  type Descriptor,
  type Manifest,
} from '../../../spec/manifest.js';
import type { Platform } from '../../../spec/platform.js';
import { LayerServer } from '../../remote/layer-server.js';
import { tarBlob } from '../blobs/tar-blob.js';
import { blobSource, forEachLayer, imageSource, type LayerPart } from '../image-source.js';
import { PARALLEL_LAYERS } from '../parallel-layers.js';
import { SILENCE_LIMIT } from '../silence.js';
import type { ImageSource } from '../source.js';
import { naming, openProxyBlob, parseLayers, readProxyPipe, type PipeOptions } from './blob.js';
import { proxyCommand, type ProxyAccess } from './command.js';
import { ProxyProcess } from './process.js';

export interface ProxyImageOptions extends ProxyAccess, Abortable {
  /**
   * The program and its first arguments, to which options and `experimental-image-proxy` are added; default: skopeo.
   * Such as `['podman', 'unshare', 'skopeo']`
   */
  command?: readonly string[] | undefined;
  /** which image of an index to take; default: the one that the proxy runs on */
  platform?: Platform | undefined;
  /** how many layers to fetch at the same time, where the proxy can: default `PARALLEL_LAYERS.registry` */
  parallel?: number | undefined;
  /** milliseconds that the proxy may be silent where it has something to say; default SILENCE_LIMIT */
  silenceLimit?: number | undefined;
}

const STORAGE = 'containers-storage:';
/** So many times may opening take as long as anything else: it unpacks whole archives, and waits for registries. */
const OPENING = 10;
/** What proxies before OpenImageOptional say of an image that is not there: registries, stores, layouts. */
const NOT_FOUND = /manifest unknown|does not resolve to an image ID|no descriptor found for reference/;
/** The only image of a proxy's varlink socket has no other handle. */
const NO_HANDLE = 0;

/**
 * An image that an image proxy opens: `skopeo experimental-image-proxy`, or another program that speaks its protocol
 * from 0.2.3 on. The proxy is started, and ends with the image. It decides which image a reference names, and asks the
 * policy; that manifest, config and layers belong together is checked here. Manifests of docker come as OCI, and so
 * have other digests than where they come from.
 * @param reference as skopeo takes it, `TRANSPORT:NAME`; `registry:NAME` is `docker://NAME`
 * @throws NotFoundError; ProxyError when the proxy says no; BridgeError `PROXY_FAILED` when it cannot be started or
 *   dies, `PROXY_VERSION`, `RPC_TIMEOUT`, `LAYER_CHAIN`; RpcProtocolError, SocketError; FormatError,
 *   DigestMismatchError for what is damaged
 * @example
 * ```ts
 * import { openProxyImage, pullImage, Repository } from 'composefs-bridge';
 *
 * await using source = await openProxyImage('docker://registry.example.org/a/b:1', { command: ['skopeo'] });
 * using repository = await Repository.open('/var/lib/images', { write: true });
 * console.log((await pullImage(repository, source, { name: 'b' })).tag); // b
 * ```
 */
export async function openProxyImage(reference: string, options: ProxyImageOptions = {}): Promise<ImageSource> {
  const { command = ['skopeo'], platform, signal, silenceLimit = SILENCE_LIMIT } = options;
  const named = reference.replace(/^registry:/, 'docker://');
  const proxy = await ProxyProcess.start(proxyCommand(command, named, platform, options), { signal, silenceLimit });
  try {
    if (!proxy.client.asksPolicy && options.policy !== 'any')
      throw new BridgeError(
        'PROXY_VERSION',
        `the image proxy speaks version ${proxy.client.version}, which asks no policy: use a newer one, or accept ` +
          'images whoever signed them',
      );
    const image = await ProxyImage.open(proxy, named, { signal: signal ?? new AbortController().signal, silenceLimit });
    return await image.source(options.parallel);
  } catch (error) {
    const explained = await proxy.explain(error);
    await proxy[Symbol.asyncDispose]();
    throw explained;
  }
}

/** What a proxy calls a layer. */
interface ListedLayer {
  digest: string;
  /** in bytes; undefined: the proxy does not know */
  size: number | undefined;
}

class ProxyImage {
  readonly #proxy: ProxyProcess;
  readonly #id: number;
  readonly #inStorage: boolean;
  readonly #options: PipeOptions;

  private constructor(proxy: ProxyProcess, id: number, inStorage: boolean, options: PipeOptions) {
    this.#proxy = proxy;
    this.#id = id;
    this.#inStorage = inStorage;
    this.#options = options;
  }

  static async open(proxy: ProxyProcess, reference: string, options: PipeOptions): Promise<ProxyImage> {
    const { client } = proxy;
    const { OpenImage, OpenImageOptional } = proxyMethods;
    const method = client.knows(OpenImageOptional) ? OpenImageOptional : OpenImage;
    const id = await client
      .request(method, [reference], { signal: options.signal, limit: OPENING * options.silenceLimit })
      .then(
        ({ value }) => value,
        (error: unknown) => {
          if (error instanceof ProxyError && NOT_FOUND.test(error.said)) return 0;
          throw naming(reference, error);
        },
      );
    if (id === 0) throw new NotFoundError(`the image proxy finds no image ${reference}`);
    return new ProxyImage(proxy, id, reference.startsWith(STORAGE), options);
  }

  async source(parallel: number | undefined): Promise<ImageSource> {
    const { manifest: bytes, converted } = await this.#manifest();
    const manifest = parseManifest(bytes);
    const config = await this.#config(manifest.config, converted);
    const listed = await this.#listedLayers();
    const server = await this.#layerServer();
    const canPassRaw = this.#proxy.client.knows(proxyMethods.GetRawBlob);
    return imageSource({
      manifest: bytes,
      config,
      layers: (diffIds, { layers }) => this.#layers(diffIds, layers, listed, server),
      openBlob: ({ digest, size }, signal) => this.#openBlob({ digest, size }, signal),
      // What the proxy's pipes bring is written by us; folders of its socket's server are not believed unless it runs
      // as root or as we do.
      trusted: true,
      canShare: server !== undefined,
      silenceLimit: this.#options.silenceLimit,
      // A proxy that has to finish pipes does nothing else meanwhile.
      parallelLayers:
        server !== undefined
          ? PARALLEL_LAYERS.server
          : canPassRaw
            ? (parallel ?? PARALLEL_LAYERS.registry)
            : PARALLEL_LAYERS.server,
      close: async () => {
        server?.close();
        await this.#proxy[Symbol.asyncDispose]();
      },
    });
  }

  async #manifest(): Promise<{ manifest: Buffer; converted: boolean }> {
    const answer = await this.#proxy.client.request(proxyMethods.GetManifest, [this.#id], this.#options);
    const manifest = await readProxyPipe(this.#proxy, answer, 'the manifest', DOCUMENT_LIMIT, this.#options);
    const { value } = answer;
    if (!isDigest(value))
      throw new RpcProtocolError('INVALID_RESULT', 'the image proxy names the manifest by something that is no digest');
    const converted = digestLike(value, manifest) !== value;
    if (converted) debug(() => `image proxy: manifest ${value} was converted to OCI`);
    return { manifest, converted };
  }

  /** The config of a converted manifest is converted as well, and no blob anywhere. */
  async #config({ digest, size }: Descriptor, converted: boolean): Promise<Buffer> {
    if (!converted) return await this.#configBlob(digest, size);
    const answer = await this.#proxy.client.request(proxyMethods.GetFullConfig, [this.#id], this.#options);
    const config = await readProxyPipe(this.#proxy, answer, 'the config', DOCUMENT_LIMIT, this.#options);
    return digestLike(digest, config) === digest ? config : await this.#configBlob(digest, size);
  }

  async #configBlob(digest: string, size: number): Promise<Buffer> {
    if (size > DOCUMENT_LIMIT)
      throw new FormatError('FILE_TOO_LARGE', `the config has ${size} bytes, at most ${DOCUMENT_LIMIT} are accepted`);
    const what = `config ${digest}`;
    const answer = await this.#proxy.client
      .request(proxyMethods.GetBlob, [this.#id, digest, size], this.#options)
      .catch((error: unknown) => {
        throw naming(what, error);
      });
    const config = await readProxyPipe(this.#proxy, answer, what, size, this.#options);
    checkDigest('config', digest, config);
    return config;
  }

  /** @returns undefined when the proxy is too old to say */
  async #listedLayers(): Promise<ListedLayer[] | undefined> {
    const { client } = this.#proxy;
    const { GetLayerInfo, GetLayerInfoPiped } = proxyMethods;
    if (!client.knows(GetLayerInfo)) return undefined;
    const layers = client.knows(GetLayerInfoPiped)
      ? parseLayers(
          await readProxyPipe(
            this.#proxy,
            await client.request(GetLayerInfoPiped, [this.#id], this.#options),
            'the list of layers',
            DOCUMENT_LIMIT,
            this.#options,
          ),
        )
      : (await client.request(GetLayerInfo, [this.#id], this.#options)).value;
    return (layers ?? []).map(({ digest, size }) => ({ digest, size: size < 0 ? undefined : size }));
  }

  #layers(
    diffIds: readonly string[],
    descriptors: Manifest['layers'],
    listed: readonly ListedLayer[] | undefined,
    server: LayerServer | undefined,
  ): LayerPart[] {
    const unpacked = diffIds.map((digest) => ({ digest, size: undefined }));
    // Before there were lists, every client knew that stores have their layers unpacked, and nobody else.
    const items: readonly ListedLayer[] = listed ?? (this.#inStorage ? unpacked : descriptors);
    return forEachLayer(diffIds, items, 'the image proxy lists', (diffId, item, index) =>
      this.#layer(diffId, item, descriptors[index], server, index),
    );
  }

  #layer(
    diffId: string,
    { digest, size }: ListedLayer,
    descriptor: Descriptor | undefined,
    server: LayerServer | undefined,
    index: number,
  ): LayerPart {
    if (digest === diffId) {
      // What manifests in stores say of layers need not be true of what stores have.
      const known = descriptor?.digest === digest && !this.#inStorage ? descriptor.size : size;
      const open: LayerPart['open'] = async (signal) =>
        tarBlob(await this.#openBlob({ digest, size: known }, signal), digest);
      return {
        diffId,
        size: known,
        open: server === undefined ? open : async (signal) => await fromServer(server, index, open, signal),
      };
    }
    if (descriptor?.digest !== digest)
      throw new FormatError(
        'LAYER_CHAIN',
        `the image proxy lists layer ${digest}, which neither manifest nor config has in its place`,
      );
    if (layerKind(descriptor.mediaType) === undefined)
      throw new FormatError(
        'LAYER_TYPE',
        `layer ${digest} of the image has the type ${descriptor.mediaType}, which is not that of a tar`,
      );
    return {
      diffId,
      size: undefined,
      open: async (signal) => tarBlob(await this.#openBlob(descriptor, signal), digest),
      blob: blobSource(descriptor, async (facts, signal) => await this.#openBlob(facts, signal)),
    };
  }

  async #openBlob(wanted: ListedLayer, signal: AbortSignal): ReturnType<typeof openProxyBlob> {
    return await openProxyBlob(this.#proxy, this.#id, wanted, { ...this.#options, signal });
  }

  /** Where the proxy gives the files of a store themselves. Whatever is in the way, its pipes have the same. */
  async #layerServer(): Promise<LayerServer | undefined> {
    const { client } = this.#proxy;
    const { OpenVarlinkSocket } = proxyMethods;
    if (!this.#inStorage || !client.knows(OpenVarlinkSocket)) return undefined;
    try {
      const { fds } = await client.request(OpenVarlinkSocket, [this.#id], this.#options);
      using socket = fds[0]!;
      const server = await LayerServer.over(fromFd(socket), 'the image proxy', this.#options);
      if (server?.trusted === true) return server;
      server?.close();
    } catch (error) {
      if (!(error instanceof ProxyError || (error instanceof BridgeError && error.code === 'NO_LAYERS'))) throw error;
      debug(() => `image proxy: no socket, so layers come through pipes: ${error.message}`);
    }
    return undefined;
  }
}

/** A server that has a layer in no form that it could pass says so before the first byte. */
async function fromServer(
  server: LayerServer,
  index: number,
  otherwise: LayerPart['open'],
  signal: AbortSignal,
): ReturnType<LayerPart['open']> {
  try {
    return await server.layer(NO_HANDLE, { layer_index: index }, signal);
  } catch (error) {
    if (!(error instanceof VarlinkRemoteError)) throw error;
    debug(() => `image proxy: layer ${index} comes through a pipe: ${error.message}`);
    return await otherwise(signal);
  }
}
