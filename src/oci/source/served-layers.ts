import { debug } from '../../debug.js';
import { BridgeError, FormatError } from '../../errors.js';
import { fromFd, socketpair } from '../../fd/fd-passing.js';
import { receivedLayer } from '../../layer/socket-layer.js';
import type { Chunk, LayerStream } from '../../layer/stream.js';
import { storeLayersMethods as methods } from '../../rpc/contracts/store-layers.js';
import type { StoredLayer, StoreOptions } from '../../storage/store.js';
import { InsideConnection } from '../../userns/inside-connection.js';
import { readTask } from '../../userns/task.js';

/**
 * The layers of a store, sent by a process in its user's namespace. What the user may open is opened here, all else
 * comes open.
 */
export class ServedLayers implements AsyncDisposable {
  readonly #inside: InsideConnection;

  private constructor(inside: InsideConnection) {
    this.#inside = inside;
  }

  /**
   * Starts the process.
   * @returns the error `USER_NAMESPACE` where there is no such namespace to be had
   * @throws the signal's reason
   */
  static async start(where: StoreOptions, signal: AbortSignal): Promise<ServedLayers | BridgeError> {
    try {
      return new ServedLayers(await InsideConnection.start(readTask(where), { signal }));
    } catch (error) {
      if (!(error instanceof BridgeError) || error.code !== 'USER_NAMESPACE') throw error;
      debug(() => `user namespace: ${error.message}`);
      return error;
    }
  }

  /** Starts reading a layer. @throws as `Store.layerStream`, also while it is read */
  async open({ id }: StoredLayer, signal: AbortSignal): Promise<LayerStream> {
    const [ours, theirs] = socketpair();
    using theirEnd = theirs;
    const layer = receivedLayer(fromFd(ours, { signal }));
    try {
      const { stream } = await this.#inside.call(methods.SendLayer, { layer: id }, { fds: [theirEnd], signal });
      return new SentLayer(layer, async () => {
        await this.#inside.call(methods.EndLayer, { stream }, { signal });
      });
    } catch (error) {
      await layer[Symbol.asyncDispose]();
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#inside[Symbol.asyncDispose]();
  }
}

/** A layer that was complete only if its sender says so. */
class SentLayer implements LayerStream {
  readonly #layer: LayerStream;
  readonly #complete: () => Promise<void>;

  /** @param complete throws what the sender has seen */
  constructor(layer: LayerStream, complete: () => Promise<void>) {
    this.#layer = layer;
    this.#complete = complete;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<readonly Chunk[]> {
    try {
      yield* this.#layer;
    } catch (error) {
      // What is cut short is so for a reason.
      if (error instanceof FormatError) await this.#complete();
      throw error;
    }
    await this.#complete();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#layer[Symbol.asyncDispose]();
  }
}
