import { debug } from '../../debug.js';
import { BridgeError } from '../../errors.js';
import { fromFd, socketpair } from '../../fd/fd-passing.js';
import type { Chunk, LayerStream } from '../../layer/stream.js';
import { JsonRpcConnection } from '../../rpc/jsonrpc/connection.js';
import { FEATURE_SPLITDIRFDSTREAM } from '../../rpc/contracts/features.js';
import type { StoredLayer, StoreOptions } from '../../storage/store.js';
import { userNamespaceError } from '../../userns/error.js';
import { InsideProcess } from '../../userns/inside-process.js';
import { serveTask } from '../../userns/task.js';
import { openServedLayer } from './splitfdstream.js';

/**
 * The layers of a store, served by a process in its user's namespace. What the user may open is opened here; all else
 * comes as content.
 */
export class ServedLayers implements AsyncDisposable {
  readonly #rpc: JsonRpcConnection;
  readonly #process: InsideProcess;

  private constructor(rpc: JsonRpcConnection, process: InsideProcess) {
    this.#rpc = rpc;
    this.#process = process;
  }

  /**
   * Starts the process.
   * @returns the error `USER_NAMESPACE` where there is no such namespace to be had
   * @throws the signal's reason
   */
  static async start(where: StoreOptions, signal: AbortSignal): Promise<ServedLayers | BridgeError> {
    const [ours, theirs] = socketpair();
    try {
      const process = await InsideProcess.start(serveTask(where), theirs.number, { signal });
      return new ServedLayers(new JsonRpcConnection(fromFd(ours)), process);
    } catch (error) {
      if (!(error instanceof BridgeError) || error.code !== 'USER_NAMESPACE') throw error;
      debug(() => `user namespace: ${error.message}`);
      return error;
    } finally {
      theirs.close();
      ours.close();
    }
  }

  /** Starts reading a layer. @throws RemoteError, SocketError; BridgeError `USER_NAMESPACE`, while it is read */
  async open({ id, parent = '', size }: StoredLayer, signal: AbortSignal): Promise<LayerStream> {
    const params = { layerId: id, parentId: parent, format: FEATURE_SPLITDIRFDSTREAM } as const;
    const layer = await openServedLayer(this.#rpc, params, undefined, signal);
    return new ExplainedLayer(layer, size, async (cause) => {
      signal.throwIfAborted();
      // It says what went wrong when it ends.
      this.#rpc.close();
      const said = await this.#process.lastWords();
      return said === undefined
        ? cause
        : userNamespaceError(`in the user namespace: ${said}`, { cause, place: { layer: id } });
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#rpc.close();
    await this.#process[Symbol.asyncDispose]();
  }
}

/** A layer whose server says elsewhere why it ended early. */
class ExplainedLayer implements LayerStream {
  readonly #layer: LayerStream;
  readonly #size: number | undefined;
  readonly #explain: (error: unknown) => Promise<unknown>;

  /** @param size of the tar in bytes, if it is known */
  constructor(layer: LayerStream, size: number | undefined, explain: (error: unknown) => Promise<unknown>) {
    this.#layer = layer;
    this.#size = size;
    this.#explain = explain;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<readonly Chunk[]> {
    let size = 0;
    try {
      for await (const chunks of this.#layer) {
        for (const chunk of chunks) size += chunk.kind === 'bytes' ? chunk.bytes.length : chunk.size;
        yield chunks;
      }
    } catch (error) {
      throw await this.#explain(error);
    }
    if (this.#size === undefined || size >= this.#size) return;
    throw await this.#explain(userNamespaceError(`the layer ends after ${size} of ${this.#size} bytes`));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#layer[Symbol.asyncDispose]();
  }
}
