import { BridgeError } from '../../errors.js';
import { connect, SocketError, type Connection, type PeerCredentials } from '../../fd/fd-passing.js';
import type { LayerStream } from '../../layer/stream.js';
import { RpcProtocolError } from '../../rpc/rpc-error.js';
import { VarlinkConnection, type VarlinkCallOptions, type VarlinkReply } from '../../rpc/varlink/client.js';
import type { VarlinkMethod } from '../../rpc/varlink/interface.js';
import { serviceMethods, type ServiceInfo } from '../../rpc/varlink/service-interface.js';
import { hasCapDacOverride } from './cap-dac-override.js';
import { receiveLayer } from './receive-layer.js';
import { transferMethods, type LayerLocator, type TransferMethods } from './transfer-methods.js';

const FORMAT = 'splitdirfdstream-v0';
const STORAGE = 'source-containers-storage';
const OURSELVES = 'composefs-bridge';

export interface RemoteStoreOptions {
  signal?: AbortSignal | undefined;
  /** how long the server may be silent where it has something to say, in milliseconds */
  silenceLimit: number;
}

/** What other protocols' servers do when a varlink call arrives: they take the NUL byte at its end for broken framing. */
const NOT_VARLINK = ['PEER_GONE', 'UNEXPECTED_END', 'FRAMING_ERROR', 'INVALID_MESSAGE'];

/**
 * A program that gives, and perhaps takes, layers over varlink, as `org.composefs.Oci` or under the interface's newer name. One
 * call is out at a time: zlink servers mix up the descriptors of several.
 */
export class RemoteStore implements Disposable {
  readonly methods: TransferMethods;
  readonly peer: PeerCredentials;
  readonly #about: ServiceInfo;
  readonly #rpc: VarlinkConnection;
  readonly #features: ReadonlySet<string>;
  readonly #options: RemoteStoreOptions;

  private constructor(rpc: VarlinkConnection, peer: PeerCredentials, about: ServiceInfo, methods: TransferMethods, features: ReadonlySet<string>, options: RemoteStoreOptions) {
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
   * @throws SocketError, VarlinkRemoteError, RpcProtocolError; BridgeError `RPC_TIMEOUT`, `NO_LAYERS`, or the system's code (`ENOENT`, …)
   */
  static async connect(path: string, options: RemoteStoreOptions): Promise<RemoteStore | undefined> {
    const connection = await connectInTime(path, options);
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
      if (methods === undefined) throw new BridgeError('NO_LAYERS', `the varlink server behind ${path} gives no layers; it has ${interfaces.join(', ')}`);
      const { parameters } = await callOnce(rpc, methods.GetInfo, {}, options);
      const features = new Set(parameters.features);
      if (!features.has(FORMAT)) throw new BridgeError('NO_LAYERS', `the server behind ${path} does not give layers as ${FORMAT}`);
      return new RemoteStore(rpc, peer, about, methods, features, options);
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
    return this.#features.has(STORAGE);
  }

  /** Whether the server is `cfsbridge serve`, which knows images by their names when it is asked in JSON-RPC. */
  get knowsImagesInJsonRpc(): boolean {
    return this.isContainersStorage && this.#about.vendor === OURSELVES;
  }

  /** milliseconds */
  get silenceLimit(): number {
    return this.#options.silenceLimit;
  }

  /** Whether whoever serves is root or this user. */
  get trusted(): boolean {
    return this.peer.uid === 0 || this.peer.uid === process.geteuid?.();
  }

  /**
   * Calls a method that replies once; descriptors that come with the reply are closed.
   * @throws as `VarlinkConnection.call`
   */
  async call<P extends object, R extends object>(method: VarlinkMethod<P, R>, parameters: P, options: VarlinkCallOptions = {}): Promise<R> {
    const reply = await callOnce(this.#rpc, method, parameters, { ...this.#options, ...options });
    return reply.parameters;
  }

  /**
   * Begins to read a layer. The server keeps it until the stream is disposed, and until then must not be asked for another.
   * @throws as `call`; BridgeError `UNTRUSTED_SERVER`
   */
  async layer(handle: number, locator: LayerLocator, signal: AbortSignal): Promise<LayerStream> {
    if (!this.trusted) {
      // A stranger could pass any folder and name files in it that only this process may read.
      throw new BridgeError('UNTRUSTED_SERVER', `the server runs as user ${this.peer.uid}; names that it sends would be opened with the rights of user ${process.geteuid?.()}. Pull as that user`);
    }
    const params = { ...locator, consumer_has_cap_dac_override: hasCapDacOverride() };
    const { silenceLimit } = this.#options;
    return await receiveLayer(this.#rpc.callMore(this.methods.GetLayer, { handle, params }, { signal, silenceLimit }), silenceLimit, signal);
  }

  close(): void {
    this.#rpc.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** The connection itself may be silent for as long as it takes: a layer that is sent is answered when it is stored. */
async function connectInTime(path: string, { signal, silenceLimit }: RemoteStoreOptions): Promise<Connection> {
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(new SocketError('IDLE_TIMEOUT', `${path} accepted no connection for ${silenceLimit} ms`)), silenceLimit);
  try {
    return await connect(path, { signal: signal ? AbortSignal.any([signal, late.signal]) : late.signal });
  } catch (error) {
    throw whyNoConnection(error, path);
  } finally {
    clearTimeout(timer);
  }
}

function whyNoConnection(error: unknown, path: string): unknown {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  if (!Object.hasOwn(NO_CONNECTION, code)) return error;
  return new BridgeError(code, `${NO_CONNECTION[code]} ${path}`, { cause: error });
}

const NO_CONNECTION: Readonly<Record<string, string>> = {
  ENOENT: 'there is no socket at',
  ENOTDIR: 'there is no socket at',
  ECONNREFUSED: 'nobody listens on',
  EACCES: 'this user may not connect to',
  EPROTOTYPE: 'not a stream socket:',
};

async function askAbout(rpc: VarlinkConnection, options: RemoteStoreOptions): Promise<ServiceInfo | undefined> {
  try {
    return (await callOnce(rpc, serviceMethods.GetInfo, {}, options)).parameters;
  } catch (error) {
    if ((error instanceof SocketError || error instanceof RpcProtocolError) && NOT_VARLINK.includes(error.code)) return undefined;
    throw error;
  }
}

async function callOnce<P extends object, R extends object>(rpc: VarlinkConnection, method: VarlinkMethod<P, R>, parameters: P, options: VarlinkCallOptions): Promise<VarlinkReply<R>> {
  const reply = await rpc.call(method, parameters, options);
  for (const fd of reply.fds) fd.close();
  return reply;
}
