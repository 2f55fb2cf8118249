import { constants } from 'node:fs';
import { showBytes } from '../../bytes.js';
import { BridgeError } from '../../errors.js';
import { isErrno, openBeneath } from '../../fd/fd.js';
import { readableBy } from '../../layer/readable-for.js';
import { closeChunk, type Chunk, type LayerStream, type NamedChunk } from '../../layer/stream.js';
import type { Store, StoredLayer, StoreOptions } from '../../storage/store.js';
import { userNamespaceError } from '../../userns/error.js';
import { mayNeedUserNamespace } from '../../userns/needed.js';
import type { ServedLayers } from './served-layers.js';

/**
 * Reads the layers of a store: directly, or, where only the user's namespace gives access to everything, by a process
 * there that serves them. That is started with the first layer, and what it cannot be started for is no reason to read
 * nothing: it is told when there is a file that would need it.
 */
export class StoreLayerReader implements AsyncDisposable {
  readonly #store: Store;
  readonly #where: StoreOptions;
  readonly #needed: boolean;
  #served: Promise<ServedLayers | BridgeError> | undefined;

  /** @param store stays the caller's @param where it was opened */
  constructor(store: Store, where: StoreOptions) {
    this.#store = store;
    this.#where = where;
    this.#needed = mayNeedUserNamespace(where);
  }

  /**
   * Starts reading a layer. The store's layer lock is held meanwhile.
   * @throws as `Store.layerStream`; BridgeError `USER_NAMESPACE`, also while it is read
   */
  async open(layer: StoredLayer, signal: AbortSignal): Promise<LayerStream> {
    if (!this.#needed) return await this.#store.layerStream(layer, { lease: 'lock', signal });
    this.#served ??= this.#start(signal);
    const served = await this.#served;
    signal.throwIfAborted();
    if (!(served instanceof BridgeError)) return await served.open(layer, signal);
    return new ReadableLayer(await this.#store.layerStream(layer, { lease: 'lock', signal }), layer.id, served);
  }

  async #start(signal: AbortSignal): Promise<ServedLayers | BridgeError> {
    // Few need it, and it brings the protocol along.
    const { ServedLayers } = await import('./served-layers.js');
    return await ServedLayers.start(this.#where, signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // What it was given up for is known to whoever gave it up.
    const served = await this.#served?.catch(() => undefined);
    if (served !== undefined && !(served instanceof BridgeError)) await served[Symbol.asyncDispose]();
  }
}

/** A layer of which this user may read all; the first file that they may not ends it with the reason. */
class ReadableLayer implements LayerStream {
  readonly #layer: LayerStream;
  readonly #id: string;
  readonly #missing: BridgeError;

  /** @param missing why there is no user namespace */
  constructor(layer: LayerStream, id: string, missing: BridgeError) {
    this.#layer = layer;
    this.#id = id;
    this.#missing = missing;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<readonly Chunk[]> {
    const likely = readableBy({ uid: process.geteuid?.() ?? 0, gids: process.getgroups?.() ?? [] });
    for await (const chunks of this.#layer) {
      const closed = chunks.find((chunk) => chunk.kind === 'named' && !isReadable(chunk, likely)) as
        | NamedChunk
        | undefined;
      if (closed !== undefined) {
        chunks.forEach(closeChunk);
        throw this.#refused(closed);
      }
      yield chunks;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#layer[Symbol.asyncDispose]();
  }

  #refused({ name }: NamedChunk): BridgeError {
    return userNamespaceError(
      `only root of your user namespace may read it, and that cannot be had: ${this.#missing.message}`,
      { cause: this.#missing, place: { layer: this.#id, entry: showBytes(name) } },
    );
  }
}

/** Modes say it for nearly all files; for the others it is tried. */
function isReadable(chunk: NamedChunk, likely: (chunk: NamedChunk) => boolean): boolean {
  try {
    if (likely(chunk)) return true;
    openBeneath(chunk.dir, chunk.name, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY).close();
    return true;
  } catch (error) {
    // All else that can be wrong with it is said to whoever opens it.
    return !isErrno(error, 'EACCES');
  }
}
