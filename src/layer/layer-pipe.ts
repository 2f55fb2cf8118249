import { closeChunk, type Chunk, type LayerStream } from './stream.js';

/** Chunks handed out at once; see LayerStream. */
const BATCH_LENGTH = 256;

/**
 * Turns pieces of something into chunks. Chunks put into `out` belong to the caller, also when the step throws
 * afterwards.
 */
export interface ChunkStep<T> {
  push(piece: T, out: Chunk[]): void;
  /** The pieces are over: checks that nothing is cut, and may add last chunks. */
  end(out: Chunk[]): void;
}

/**
 * A LayerStream made of the pieces of a source by a step.
 * @param source is disposed with the stream
 * @param owned what else the stream keeps open, closed in this order after the source
 */
export function layerFrom<T>(
  source: AsyncIterable<T> & AsyncDisposable,
  step: ChunkStep<T>,
  owned: readonly Disposable[] = [],
): LayerStream {
  return new LayerPipe(source, step, owned);
}

class LayerPipe<T> implements LayerStream {
  readonly #source: AsyncDisposable;
  readonly #owned: readonly Disposable[];
  readonly #batches: AsyncGenerator<readonly Chunk[], void, void>;
  #started = false;

  constructor(source: AsyncIterable<T> & AsyncDisposable, step: ChunkStep<T>, owned: readonly Disposable[]) {
    this.#source = source;
    this.#owned = owned;
    this.#batches = batches(source, step);
  }

  [Symbol.asyncIterator](): AsyncGenerator<readonly Chunk[], void, void> {
    if (this.#started) throw new Error('a layer stream can be read once');
    this.#started = true;
    return this.#batches;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      // First the source: a generator that waits for it does not take part in return().
      await this.#source[Symbol.asyncDispose]();
      await this.#batches.return();
    } finally {
      for (const resource of this.#owned) resource[Symbol.dispose]();
    }
  }
}

async function* batches<T>(source: AsyncIterable<T>, step: ChunkStep<T>): AsyncGenerator<readonly Chunk[], void, void> {
  let ready: Chunk[] = [];
  let delivered = 0;
  try {
    for await (const piece of source) {
      step.push(piece, ready);
      while (delivered < ready.length) {
        const batch = ready.slice(delivered, delivered + BATCH_LENGTH);
        delivered += batch.length;
        yield batch;
      }
      ready = [];
      delivered = 0;
    }
    step.end(ready);
    delivered = ready.length;
    if (ready.length > 0) yield ready;
  } finally {
    for (; delivered < ready.length; delivered++) closeChunk(ready[delivered]!);
  }
}
