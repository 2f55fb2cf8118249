import { createReadStream, type ReadStream } from 'node:fs';
import { once } from 'node:events';
import { createGunzip, type Gunzip } from 'node:zlib';
import { FormatError } from '../errors.js';
import type { Fd } from '../fd/fd.js';
import { openContent } from '../layer/content.js';
import { closeChunk, type Chunk, type LayerStream, type NamedChunk } from '../layer/stream.js';
import type { ForeignOwner } from './foreign-store.js';
import type { StoreFolder } from './read-file.js';
import { StoreLock } from './lock.js';
import type { TarSplitParser } from './tar-split.js';

const TEXT_BLOCK = 128 << 10;
const BATCH = 256;

/**
 * A stored layer as its byte-exact tar: tar-split data gives everything but the content, which is
 * named below the layer's directory. In a store of a stranger the files are opened here, where it is seen whether the
 * stranger could.
 */
export class TarSplitStream implements LayerStream {
  readonly directory: Fd;
  readonly #owner: ForeignOwner | undefined;
  readonly #layer: string;
  readonly #recipe: Fd;
  readonly #parser: TarSplitParser;
  readonly #held: readonly Disposable[];
  readonly #signal: AbortSignal | undefined;
  #source: ReadStream | undefined;
  #gunzip: Gunzip | undefined;

  /**
   * @internal
   * @param recipe the open tar-split file, compressed; owned by the stream
   * @param tree what the chunks' names are below; its directory is owned by the stream
   * @param held what else keeps the content in place, such as a lock; released with the stream
   */
  constructor(
    layer: string,
    recipe: Fd,
    parser: TarSplitParser,
    { dir, owner }: StoreFolder,
    held: readonly Disposable[],
    signal?: AbortSignal,
  ) {
    this.directory = dir;
    this.#owner = owner;
    this.#layer = layer;
    this.#recipe = recipe;
    this.#parser = parser;
    this.#held = held;
    this.#signal = signal;
  }

  /** Whether a writer of the store waits for a lock that this stream holds. */
  get awaited(): boolean {
    return this.#held.some((held) => held instanceof StoreLock && held.awaited);
  }

  /** Whether it opens files itself, since not everything in the store may be given away. */
  get opensFiles(): boolean {
    return this.#owner !== undefined;
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
      for await (const text of gunzip as AsyncIterable<Buffer>) yield* batches(this.#parser.push(text), this.#owner);
      yield* batches(this.#parser.finish(), this.#owner);
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

async function* batches(chunks: Chunk[], owner: ForeignOwner | undefined): AsyncGenerator<readonly Chunk[]> {
  for (let start = 0; start < chunks.length; start += BATCH) {
    const batch = chunks.slice(start, start + BATCH);
    yield owner === undefined ? batch : await openAll(batch, owner);
  }
}

/** A name that is opened later may lead to another file: what was checked is what is handed out. */
async function openAll(chunks: readonly Chunk[], owner: ForeignOwner): Promise<Chunk[]> {
  const opened: Chunk[] = [];
  try {
    for (const chunk of chunks) opened.push(chunk.kind === 'named' ? await openFor(owner, chunk) : chunk);
    return opened;
  } catch (error) {
    opened.forEach(closeChunk);
    throw error;
  }
}

async function openFor(owner: ForeignOwner, chunk: NamedChunk): Promise<Chunk> {
  using fd = await openContent(chunk);
  owner.checkFile(chunk.dir, chunk.name, fd);
  return { kind: 'fd', fd: fd.move(), size: chunk.size };
}

function isZlibError(error: unknown): error is Error {
  return error instanceof Error && 'code' in error && String(error.code).startsWith('Z_');
}
