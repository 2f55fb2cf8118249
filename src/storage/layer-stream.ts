import { createReadStream, type ReadStream } from 'node:fs';
import { once } from 'node:events';
import { createGunzip, type Gunzip } from 'node:zlib';
import { FormatError } from '../errors.js';
import type { Fd } from '../fd/fd.js';
import type { Chunk, LayerStream } from '../layer/stream.js';
import type { TarSplitParser } from './tar-split.js';

const TEXT_BLOCK = 128 << 10;
const BATCH = 256;

/**
 * A stored layer as its byte-exact tar: tar-split data gives everything but the content, which is
 * named below the layer's directory.
 */
export class TarSplitStream implements LayerStream {
  readonly #layer: string;
  readonly #recipe: Fd;
  readonly #parser: TarSplitParser;
  readonly #held: readonly Disposable[];
  readonly #signal: AbortSignal | undefined;
  #source: ReadStream | undefined;
  #gunzip: Gunzip | undefined;

  /**
   * @param recipe the open tar-split file, compressed; owned by the stream
   * @param directory what the chunks' names are below; owned by the stream
   * @param held what else keeps the content in place, such as a lock; released with the stream
   */
  constructor(layer: string, recipe: Fd, parser: TarSplitParser, readonly directory: Fd, held: readonly Disposable[], signal?: AbortSignal) {
    this.#layer = layer;
    this.#recipe = recipe;
    this.#parser = parser;
    this.#held = held;
    this.#signal = signal;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<readonly Chunk[]> {
    this.#signal?.throwIfAborted();
    // From here on the read stream owns the descriptor: it alone knows when its last read is over.
    const source = createReadStream('', { fd: this.#recipe.take(), highWaterMark: TEXT_BLOCK });
    const gunzip = createGunzip({ chunkSize: TEXT_BLOCK });
    this.#source = source;
    this.#gunzip = gunzip;
    const abort = (): void => void gunzip.destroy(this.#signal?.reason);
    this.#signal?.addEventListener('abort', abort, { once: true });
    source.on('error', (error) => gunzip.destroy(error));
    source.pipe(gunzip);
    try {
      for await (const text of gunzip as AsyncIterable<Buffer>) yield* batches(this.#parser.push(text));
      yield* batches(this.#parser.finish());
    } catch (error) {
      this.#signal?.throwIfAborted();
      throw isZlibError(error) ? this.#damaged(error) : error;
    } finally {
      this.#signal?.removeEventListener('abort', abort);
      await this.#stop();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#recipe.close();
    await this.#stop();
    this.directory.close();
    for (const held of this.#held) held[Symbol.dispose]();
  }

  async #stop(): Promise<void> {
    const source = this.#source;
    if (!source) return;
    this.#gunzip?.destroy();
    source.destroy();
    if (!source.closed) await once(source, 'close');
  }

  #damaged(cause: Error): FormatError {
    return new FormatError('BAD_TAR_SPLIT', `tar-split data cannot be decompressed: ${cause.message}`, {
      cause,
      place: { layer: this.#layer },
    });
  }
}

function* batches(chunks: Chunk[]): Generator<readonly Chunk[]> {
  for (let start = 0; start < chunks.length; start += BATCH) yield chunks.slice(start, start + BATCH);
}

function isZlibError(error: unknown): error is Error {
  return error instanceof Error && 'code' in error && String(error.code).startsWith('Z_');
}
