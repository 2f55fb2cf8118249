import type { PeerCredentials } from '../fd/fd-passing.js';
import type { Fd } from '../fd/fd.js';
import { isRootOrSelf } from '../fd/peer.js';
import { sealedClone } from '../fd/sealed-clone.js';
import type { Chunk, LayerStream } from '../layer/stream.js';
import type { TarSplitStream } from '../storage/layer-stream.js';

/** A layer that is handed out, which its holder disposes. */
export interface LayerToSend {
  layer: LayerStream;
  /**
   * What its chunks' names are below, in the form the peer may have it; undefined when it may have none, and gets
   * content only.
   */
  directory: Fd | undefined;
  /** Whether somebody may wait for the layer to be given back. */
  awaited(): boolean;
}

/** Who collects garbage in a repository cannot be seen to wait. */
const always = (): boolean => true;

/** A layer of which a peer gets the content only, from a repository whose owner is not believed. */
export function contentOnly(layer: LayerStream): LayerToSend {
  return { layer, directory: undefined, awaited: always };
}

/**
 * A layer in the form in which a peer may have it: root and the user this process runs as get the directory itself,
 * everybody else a sealed clone of it, through which files are opened, too.
 * @param directory the layer's; stays the caller's, and open as long as the layer
 * @param open the layer, with its files below the directory that is given
 */
export async function lend(
  directory: Fd,
  peer: PeerCredentials,
  open: (within: Fd) => LayerStream,
): Promise<LayerToSend> {
  if (isRootOrSelf(peer.uid)) return { layer: open(directory), directory, awaited: always };
  const clone = sealedClone(directory);
  if (clone === undefined) return { layer: open(directory), directory: undefined, awaited: always };
  try {
    return { layer: new LayerWith(open(clone), clone), directory: clone, awaited: always };
  } catch (error) {
    clone.close();
    throw error;
  }
}

/** The same for a layer of a store, which is open already; it is disposed if this throws. */
export async function lendOpen(layer: TarSplitStream, peer: PeerCredentials): Promise<LayerToSend> {
  const { directory } = layer;
  // What it opened is on the store's own mount: strangers get content only.
  if (layer.opensFiles && !isRootOrSelf(peer.uid)) return { layer, directory: undefined, awaited: () => layer.awaited };
  try {
    const lent = await lend(directory, peer, (within) =>
      within === directory ? layer : new MovedLayer(layer, directory, within),
    );
    return { ...lent, awaited: () => layer.awaited };
  } catch (error) {
    await layer[Symbol.asyncDispose]();
    throw error;
  }
}

/** A layer with something that is closed after it. */
class LayerWith implements LayerStream {
  readonly #layer: LayerStream;
  readonly #held: Disposable;

  constructor(layer: LayerStream, held: Disposable) {
    this.#layer = layer;
    this.#held = held;
  }

  [Symbol.asyncIterator](): AsyncIterator<readonly Chunk[]> {
    return this.#layer[Symbol.asyncIterator]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.#layer[Symbol.asyncDispose]();
    } finally {
      this.#held[Symbol.dispose]();
    }
  }
}

/** A layer whose names are below another descriptor of its directory. */
class MovedLayer implements LayerStream {
  readonly #layer: LayerStream;
  readonly #from: Fd;
  readonly #to: Fd;

  constructor(layer: LayerStream, from: Fd, to: Fd) {
    this.#layer = layer;
    this.#from = from;
    this.#to = to;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<readonly Chunk[]> {
    for await (const chunks of this.#layer)
      yield chunks.map((chunk) =>
        chunk.kind === 'named' && chunk.dir === this.#from ? { ...chunk, dir: this.#to } : chunk,
      );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#layer[Symbol.asyncDispose]();
  }
}
