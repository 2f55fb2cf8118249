import { showBytes } from '../../bytes.js';
import { BridgeError, DigestMismatchError } from '../../errors.js';
import type { TarEntry } from '../../layer/entry.js';
import { closeChunk, type Chunk, type FdChunk, type LayerStream, type NamedChunk } from '../../layer/stream.js';
import { TarScanner, type TarVisitor } from '../../layer/tar-scanner.js';
import { Batch } from '../../repository/batch.js';
import type { ObjectId } from '../../repository/object-id.js';
import { StoreFailure, type FileResult, type LayerIngest, type ObjectStore, type TakePolicy } from '../../repository/objects.js';
import { CONTENT_TYPES } from '../../repository/splitstream-format.js';
import { SplitstreamWriter } from '../../repository/splitstream-writer.js';
import type { FileContent } from '../../tree/oci-layers.js';

/** A batch goes to the native pool when it holds this many files or bytes. */
const BATCH_FILES = 256;
const BATCH_BYTES = 256 * 1024;
/** So many batches may be under way; together with the limits above this bounds memory. */
const BATCHES_IN_FLIGHT = 8;
/** Content that comes as bytes is stored by one thread as a whole up to this size, and streamed beyond. */
const MEMORY_LIMIT = 1024 * 1024;

const EMPTY: FileContent = { kind: 'empty' };

/** One entry of a layer with the place of its content, as `LayerTree.apply` takes it. */
export interface PlacedEntry {
  entry: TarEntry;
  content: FileContent;
}

/** What happened to the content of a layer's files; counts of files, sizes in bytes. */
export interface LayerStats {
  entries: number;
  files: number;
  reflinked: number;
  hardlinked: number;
  copied: number;
  present: number;
  inlined: number;
  reflinkedBytes: number;
  hardlinkedBytes: number;
  copiedBytes: number;
  /** bytes inside the splitstream: headers, padding and short files */
  inlineBytes: number;
  /** length of the tar */
  tarBytes: number;
}

export interface ImportedLayer {
  /** The digest the tar really has, `sha256:` and hex. */
  diffId: string;
  /** The splitstream as an object. It has no name in `streams/` yet. */
  stream: ObjectId;
  stats: LayerStats;
}

export interface ImportOptions {
  policy: TakePolicy;
  signal?: AbortSignal | undefined;
  /** Gets all entries in tar order, some at a time, before it is known whether the layer is the right one. */
  onEntries?: ((entries: readonly PlacedEntry[]) => void) | undefined;
  /** Called now and then with the number of tar bytes that are done. */
  onProgress?: ((tarBytes: number) => void) | undefined;
}

/**
 * Reads a layer once: hashes its tar, stores its files as objects, writes its splitstream and hands out its entries.
 * The stream is disposed when the content is safe, and on every failure.
 * @param expected the diff_id the tar must have, or undefined to take it as it is
 * @throws DigestMismatchError when the tar is another one: objects may have been stored, but nothing refers to them
 * @throws BridgeError with the place for anything wrong in the stream, its files or the repository
 */
export async function importLayer(store: ObjectStore, stream: LayerStream, expected: string | undefined, options: ImportOptions): Promise<ImportedLayer> {
  const importer = new LayerImporter(store, options);
  const { signal } = options;
  const stop = (): void => importer.stop();
  signal?.addEventListener('abort', stop, { once: true });
  try {
    for await (const chunks of stream) {
      signal?.throwIfAborted();
      importer.take(chunks);
      await importer.pause();
    }
    await importer.flush();
  } catch (error) {
    await importer.abandon();
    throw withLayer(signal?.aborted ? signal.reason : error, expected);
  } finally {
    signal?.removeEventListener('abort', stop);
    await stream[Symbol.asyncDispose]();
  }
  const diffId = importer.diffId();
  if (expected !== undefined && diffId !== expected) {
    throw new DigestMismatchError('the layer is not what its diff_id says, nothing of it was published', expected, diffId, { place: { layer: expected } });
  }
  return { diffId, stream: await importer.storeStream(), stats: importer.stats };
}

/** A file whose result is still out. */
interface PendingFile {
  size: number;
  placed: PlacedEntry;
}

class LayerImporter implements TarVisitor {
  readonly stats: LayerStats = {
    entries: 0, files: 0, reflinked: 0, hardlinked: 0, copied: 0, present: 0, inlined: 0,
    reflinkedBytes: 0, hardlinkedBytes: 0, copiedBytes: 0, inlineBytes: 0, tarBytes: 0,
  };
  readonly #store: ObjectStore;
  readonly #ingest: LayerIngest;
  readonly #options: ImportOptions;
  readonly #scanner = new TarScanner(this);
  readonly #writer: SplitstreamWriter;
  readonly #batch = new Batch();
  /** The pieces of the current batch in order: inline bytes, and files that wait for their result. */
  #pieces: (Buffer | PendingFile)[] = [];
  /** The entries of the current batch; the content of the last one may still be due. */
  #entries: PlacedEntry[] = [];
  #contentDue = false;
  #inFlight: Promise<void>[] = [];
  /** Results are written to the splitstream in the order of the batches. */
  #written: Promise<void> = Promise.resolve();
  #gathered: Buffer | undefined;
  #gatheredLength = 0;
  #streaming = false;
  #failure: unknown;

  constructor(store: ObjectStore, options: ImportOptions) {
    this.#store = store;
    this.#options = options;
    this.#ingest = store.ingest(options.policy);
    this.#writer = new SplitstreamWriter(CONTENT_TYPES.layer, store.algorithm);
  }

  /** Takes chunks and the ownership of the descriptors in them, also when it throws. */
  take(chunks: readonly Chunk[]): void {
    let next = 0;
    try {
      while (next < chunks.length) {
        const chunk = chunks[next++] as Chunk;
        if (chunk.kind === 'bytes') this.#scanner.bytes(chunk.bytes);
        else this.#scanner.reference(chunk);
      }
    } finally {
      for (const chunk of chunks.slice(next)) closeChunk(chunk);
    }
  }

  entry(entry: TarEntry): void {
    this.stats.entries++;
    if (entry.type === 'file') this.stats.files++;
    this.#entries.push({ entry, content: EMPTY });
    this.#contentDue = entry.type === 'file' && entry.size > 0;
  }

  inline(bytes: Buffer): void {
    this.#batch.bytes(bytes);
    this.#pieces.push(bytes);
  }

  smallContent(bytes: Buffer, entry: TarEntry): void {
    if (entry.type !== 'file') return;
    this.#last().content = { kind: 'inline', bytes: Buffer.from(bytes) };
    this.#contentDue = false;
    this.stats.inlined++;
  }

  content(bytes: Buffer, entry: TarEntry, last: boolean): void {
    if (entry.size > MEMORY_LIMIT) {
      if (!this.#streaming) this.#batch.dataBegin(entry.size);
      this.#streaming = !last;
      this.#batch.data(bytes);
      if (!last) return this.#submitWhenFull();
      this.#batch.dataEnd();
    } else if (last && this.#gathered === undefined) {
      this.#batch.memory(bytes);
    } else {
      this.#gathered ??= Buffer.allocUnsafe(entry.size);
      this.#gatheredLength += bytes.copy(this.#gathered, this.#gatheredLength);
      if (!last) return;
      this.#batch.memory(this.#gathered);
      this.#gathered = undefined;
      this.#gatheredLength = 0;
    }
    this.#pushFile(entry);
  }

  reference(chunk: FdChunk | NamedChunk, entry: TarEntry): void {
    if (chunk.kind === 'fd') this.#batch.open(chunk.fd, chunk.size);
    else this.#batch.named(chunk.dir, chunk.name, chunk.size);
    this.#pushFile(entry);
  }

  /** Lets the pool catch up when enough is under way. */
  async pause(): Promise<void> {
    this.#submitWhenFull();
    while (this.#inFlight.length >= BATCHES_IN_FLIGHT) await this.#inFlight[0];
    if (this.#failure !== undefined) throw this.#failure;
  }

  async flush(): Promise<void> {
    this.#scanner.end();
    this.#submit();
    await this.#written;
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Stops the pool's work on this layer, also in the middle of a file: whoever waits for it gets an error. */
  stop(): void {
    this.#ingest.abort();
  }

  /** The same, and waits until the pool has let go of every descriptor. */
  async abandon(): Promise<void> {
    this.#batch.discard();
    this.stop();
    await this.#written;
  }

  diffId(): string {
    return `sha256:${this.#ingest.digest()}`;
  }

  async storeStream(): Promise<ObjectId> {
    return this.#store.put(await this.#writer.finish());
  }

  #last(): PlacedEntry {
    return this.#entries[this.#entries.length - 1] as PlacedEntry;
  }

  #pushFile(entry: TarEntry): void {
    this.#pieces.push({ size: entry.size, placed: this.#last() });
    this.#contentDue = false;
    this.#submitWhenFull();
  }

  #submitWhenFull(): void {
    if (this.#batch.files >= BATCH_FILES || this.#batch.length >= BATCH_BYTES) this.#submit();
  }

  #submit(): void {
    if (this.#batch.length === 0) return;
    const pieces = this.#pieces;
    this.#pieces = [];
    const entries = this.#entries;
    this.#entries = this.#contentDue ? [entries.pop() as PlacedEntry] : [];
    const results = this.#ingest.submit(this.#batch);
    results.catch(() => {});
    const written = this.#written.then(async () => {
      try {
        const files = await results;
        if (this.#failure === undefined) this.#write(pieces, files, entries);
      } catch (error) {
        this.#failure ??= error instanceof StoreFailure ? placeFailure(error, pieces) : error;
      }
      this.#inFlight.shift();
    });
    this.#written = written;
    this.#inFlight.push(written);
  }

  #write(pieces: readonly (Buffer | PendingFile)[], results: readonly FileResult[], entries: readonly PlacedEntry[]): void {
    let next = 0;
    for (const piece of pieces) {
      if (Buffer.isBuffer(piece)) {
        this.#writer.inline(piece);
        this.stats.inlineBytes += piece.length;
      } else {
        this.#writeFile(piece, results[next++] as FileResult);
      }
    }
    this.#options.onEntries?.(entries);
    this.stats.tarBytes = this.#writer.size;
    this.#options.onProgress?.(this.#writer.size);
  }

  #writeFile({ size, placed }: PendingFile, result: FileResult): void {
    if (result.outcome === 'small') {
      this.#writer.inline(result.content);
      this.stats.inlined++;
      this.stats.inlineBytes += size;
      if (placed.entry.type === 'file') placed.content = { kind: 'inline', bytes: result.content };
      return;
    }
    this.#writer.external(result.id, size);
    placed.content = { kind: 'object', id: result.id };
    if (result.outcome === 'hashed') return;
    this.stats[result.outcome]++;
    if (result.outcome !== 'present') this.stats[`${result.outcome}Bytes`] += size;
  }
}

function placeFailure(error: StoreFailure, pieces: readonly (Buffer | PendingFile)[]): unknown {
  const file = pieces.filter((piece): piece is PendingFile => !Buffer.isBuffer(piece))[error.file ?? -1];
  if (file === undefined) return error;
  const { entry } = file.placed;
  return new BridgeError(error.code, error.message, { cause: error, place: { entry: showBytes(entry.path), offset: entry.offset } });
}

/** Adds the layer to what went wrong; failures of system calls on what a peer sent become typed errors. */
export function withLayer(error: unknown, layer: string | undefined): unknown {
  const place = { ...(error instanceof BridgeError ? error.place : {}), ...(layer === undefined ? {} : { layer }) };
  if (error instanceof BridgeError) {
    if (layer === undefined || error.place.layer !== undefined) return error;
    return new BridgeError(error.code, `importing a layer failed: ${error.reason}`, { cause: error, place });
  }
  if (!(error instanceof Error) || !('syscall' in error) || !('code' in error)) return error;
  return new BridgeError(String(error.code), `importing a layer failed: ${error.message}`, { cause: error, place });
}
