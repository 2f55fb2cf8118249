import type { Abortable } from '../../abortable.js';
import type { SystemErrorCode } from '../../error-codes.js';
import { BridgeError, systemCode } from '../../errors.js';
import { connect, SocketError, type Connection, type PeerCredentials } from '../../fd/fd-passing.js';
import type { LayerStream } from '../../layer/stream.js';
import { FEATURE_CONTAINERS_STORAGE, FEATURE_SPLITDIRFDSTREAM } from '../../rpc/contracts/features.js';
import { RpcProtocolError } from '../../rpc/rpc-error.js';
import { VarlinkConnection, type VarlinkCallOptions, type ReceivedVarlinkReply } from '../../rpc/varlink/client.js';
import type { VarlinkMethod } from '../../rpc/varlink/interface.js';
import { serviceMethods, type ServiceInfo } from '../../rpc/varlink/service-interface.js';
import { hasCapDacOverride } from '../../fd/cap-dac-override.js';
import { receiveLayer } from './receive-layer.js';
import { transferMethods, type LayerLocator, type TransferMethods } from '../../rpc/contracts/oci-transfer.js';
import { isRootOrSelf } from '../../fd/peer.js';

const OURSELVES = 'composefs-bridge';

export interface LayerServerOptions extends Abortable {
  /** how long the server may be silent where it has something to say, in milliseconds */
  silenceLimit: number;
}

/**
 * What other protocols' servers do when a varlink call arrives: they take the NUL byte at its end for broken framing.
 */
const NOT_VARLINK = ['PEER_GONE', 'UNEXPECTED_END', 'FRAMING_ERROR', 'INVALID_MESSAGE'];

/**
 * A program that gives, and perhaps takes, layers over varlink, as `org.composefs.Oci` or under the interface's newer
 * name. One call is out at a time: zlink servers mix up the descriptors of several.
 */
export class LayerServer implements Disposable {
  readonly methods: TransferMethods;
  readonly peer: PeerCredentials;
  readonly #about: ServiceInfo;
  readonly #rpc: VarlinkConnection;
  readonly #features: ReadonlySet<string>;
  readonly #options: LayerServerOptions;

  private constructor(
    rpc: VarlinkConnection,
    peer: PeerCredentials,
    about: ServiceInfo,
    methods: TransferMethods,
    features: ReadonlySet<string>,
    options: LayerServerOptions,
  ) {
    this.#rpc = rpc;
    this.peer = peer;
    this.#about = about;
    this.methods = methods;
    this.#features = features;
    this.#options = options;
  }

  /**
   * Connects to the server behind a socket.
   * @returns undefined when it does not speak varlink
   * @throws SocketError, VarlinkRemoteError, RpcProtocolError; BridgeError `RPC_TIMEOUT`, `NO_LAYERS`, or the system's
   *   code (`ENOENT`, …)
   */
  static async connect(path: string, options: LayerServerOptions): Promise<LayerServer | undefined> {
    return await LayerServer.over(await connectInTime(path, options), path, options);
  }

  /**
   * The same over a connection, whose ownership is taken.
   * @param shown what messages call the socket
   */
  static async over(
    connection: Connection,
    shown: string,
    options: LayerServerOptions,
  ): Promise<LayerServer | undefined> {
    const { peer } = connection;
    const rpc = new VarlinkConnection(connection);
    try {
      const about = await askAbout(rpc, options);
      if (about === undefined) {
        rpc.close();
        return undefined;
      }
      const { interfaces } = about;
      const methods = transferMethods(interfaces);
      if (methods === undefined)
        throw new BridgeError(
          'NO_LAYERS',
          `the varlink server behind ${shown} gives no layers; it has ${interfaces.join(', ')}`,
        );
      const { parameters } = await callOnce(rpc, methods.GetInfo, {}, options);
      const features = new Set(parameters.features);
      if (!features.has(FEATURE_SPLITDIRFDSTREAM))
        throw new BridgeError(
          'NO_LAYERS',
          `the server behind ${shown} does not give layers as ${FEATURE_SPLITDIRFDSTREAM}`,
        );
      return new LayerServer(rpc, peer, about, methods, features, options);
    } catch (error) {
      rpc.close();
      throw error;
    }
  }

  /** Names of the interfaces that the server has. */
  get interfaces(): readonly string[] {
    return this.#about.interfaces;
  }

  /** Whether layers are those of one containers-storage, named by their ids. */
  get isContainersStorage(): boolean {
    return this.#features.has(FEATURE_CONTAINERS_STORAGE);
  }

  /** Whether the server is `cfsbridge serve`, which knows images by their names when it is asked in JSON-RPC. */
  get knowsImagesInJsonRpc(): boolean {
    return this.isContainersStorage && this.#about.vendor === OURSELVES;
  }

  /** milliseconds */
  get silenceLimit(): number {
    return this.#options.silenceLimit;
  }

  /** Whether the server runs as root or as this user. */
  get trusted(): boolean {
    return isRootOrSelf(this.peer.uid);
  }

  /**
   * Calls a method that replies once; descriptors that come with the reply are closed.
   * @throws as `VarlinkConnection.call`
   */
  async call<P extends object, R extends object>(
    method: VarlinkMethod<P, R>,
    parameters: P,
    options: VarlinkCallOptions = {},
  ): Promise<R> {
    const reply = await callOnce(this.#rpc, method, parameters, { ...this.#options, ...options });
    return reply.parameters;
  }

  /**
   * Begins to read a layer. The server keeps it until the stream is disposed, and until then must not be asked for
   * another.
   * @throws as `call`; BridgeError `UNTRUSTED_SERVER`
   */
  async layer(handle: number, locator: LayerLocator, signal: AbortSignal): Promise<LayerStream> {
    if (!this.trusted) {
      // A stranger could pass any folder and name files in it that only this process may read.
      throw new BridgeError(
        'UNTRUSTED_SERVER',
        `the server runs as user ${this.peer.uid}; names that it sends would be opened with the rights of user ` +
          `${process.geteuid?.()}. Pull as that user`,
      );
    }
    const params = { ...locator, consumer_has_cap_dac_override: hasCapDacOverride() };
    const { silenceLimit } = this.#options;
    return await receiveLayer(
      this.#rpc.callMore(this.methods.GetLayer, { handle, params }, { signal, silenceLimit }),
      silenceLimit,
      signal,
    );
  }

  close(): void {
    this.#rpc.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** The connection itself may be silent for as long as it takes: a layer that is sent is answered when it is stored. */
async function connectInTime(path: string, { signal, silenceLimit }: LayerServerOptions): Promise<Connection> {
  const late = new AbortController();
  const timer = setTimeout(
    () => late.abort(new SocketError('IDLE_TIMEOUT', `${path} accepted no connection for ${silenceLimit} ms`)),
    silenceLimit,
  );
  try {
    return await connect(path, { signal: signal ? AbortSignal.any([signal, late.signal]) : late.signal });
  } catch (error) {
    throw whyNoConnection(error, path);
  } finally {
    clearTimeout(timer);
  }
}

function whyNoConnection(error: unknown, path: string): unknown {
  const code = systemCode(error);
  const why = code === undefined ? undefined : NO_CONNECTION[code];
  if (code === undefined || why === undefined) return error;
  return new BridgeError(code, `${why} ${path}`, { cause: error });
}

const NO_CONNECTION: Readonly<Partial<Record<SystemErrorCode, string>>> = {
  ENOENT: 'there is no socket at',
  ENOTDIR: 'there is no socket at',
  ECONNREFUSED: 'nobody listens on',
  EACCES: 'this user may not connect to',
  EPROTOTYPE: 'not a stream socket:',
};

async function askAbout(rpc: VarlinkConnection, options: LayerServerOptions): Promise<ServiceInfo | undefined> {
  try {
    return (await callOnce(rpc, serviceMethods.GetInfo, {}, options)).parameters;
  } catch (error) {
    if ((error instanceof SocketError || error instanceof RpcProtocolError) && NOT_VARLINK.includes(error.code))
      return undefined;
    throw error;
  }
}

async function callOnce<P extends object, R extends object>(
  rpc: VarlinkConnection,
  method: VarlinkMethod<P, R>,
  parameters: P,
  options: VarlinkCallOptions,
): Promise<ReceivedVarlinkReply<R>> {
  const reply = await rpc.call(method, parameters, options);
  for (const fd of reply.fds) fd.close();
  return reply;
}
