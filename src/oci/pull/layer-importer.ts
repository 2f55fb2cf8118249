import { showBytes } from '../../bytes.js';
import { BridgeError } from '../../errors.js';
import type { ObjectId } from '../../fsverity/object-id.js';
import type { TarEntry } from '../../layer/entry.js';
import { closeChunk, type Chunk, type FdChunk, type NamedChunk } from '../../layer/stream.js';
import { TarScanner, type TarVisitor } from '../../layer/tar-scanner.js';
import { WHOLE_CONTENT_LIMIT } from '../../limits.js';
import type { Batch } from '../../layer/batch.js';
import { IngestPipeline } from '../../repository/ingest-pipeline.js';
import type { FileResult, ObjectStore, StoreFailure } from '../../repository/objects.js';
import { CONTENT_TYPES } from '../../repository/splitstream/format.js';
import { SplitstreamWriter } from '../../repository/splitstream/writer.js';
import type { FileContent } from '../../tree/entry-node.js';
import type { PlacedEntry } from '../image/stored-layer.js';
import type { LayerPolicy } from '../../repository/local-fetch.js';
import { noStats } from './stats.js';

const INLINE_BLOCK = 64 * 1024;
const EMPTY: FileContent = { kind: 'empty' };

/** A file whose result is still out. */
interface PendingFile {
  size: number;
  placed: PlacedEntry;
}

/** What a batch in the pool is of the layer. */
interface SubmittedBatch {
  /** inline bytes, and files that wait for their result, in order */
  pieces: readonly (Buffer | PendingFile)[];
  entries: readonly PlacedEntry[];
}

/** Takes a tar apart: its files go to the object store, the rest and their ids into a splitstream, its entries out. */
export class LayerImporter implements TarVisitor {
  readonly stats = noStats();
  readonly pipeline: IngestPipeline<SubmittedBatch>;
  readonly #onWritten: (entries: readonly PlacedEntry[]) => void;
  readonly #scanner = new TarScanner(this);
  readonly #writer: SplitstreamWriter;
  readonly #batch: Batch;
  /** The pieces of the current batch in order: inline bytes, and files that wait for their result. */
  #pieces: (Buffer | PendingFile)[] = [];
  /** The entries of the current batch; the content of the last one may still be due. */
  #entries: PlacedEntry[] = [];
  #contentDue = false;
  readonly #inline = new InlineBytes();
  /** The content of a file of medium size that comes in pieces. */
  #gathered = Buffer.alloc(0);
  #gatheredLength = 0;
  #streaming = false;

  /** @param onWritten gets the layer's entries in order, some at a time, when their content is in the store */
  constructor(store: ObjectStore, policy: LayerPolicy, onWritten: (entries: readonly PlacedEntry[]) => void) {
    this.#onWritten = onWritten;
    this.pipeline = new IngestPipeline(store.ingest(policy.take, policy), {
      take: (results, submitted) => this.#write(results, submitted),
      place: placeFailure,
    });
    this.#batch = this.pipeline.batch;
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
    this.#pieces.push(this.#inline.copy(bytes));
  }

  smallContent(bytes: Buffer, entry: TarEntry): void {
    if (entry.type !== 'file') return;
    this.#last().content = { kind: 'inline', bytes: Buffer.from(bytes) };
    this.#contentDue = false;
    this.stats.inlined++;
  }

  content(bytes: Buffer, entry: TarEntry, last: boolean): void {
    if (entry.size > WHOLE_CONTENT_LIMIT) {
      if (!this.#streaming) this.#batch.dataBegin(entry.size);
      this.#streaming = !last;
      this.#batch.data(bytes);
      if (!last) return this.#submitWhenFull();
      this.#batch.dataEnd();
    } else if (last && this.#gatheredLength === 0) {
      this.#batch.memory(bytes);
    } else {
      if (this.#gathered.length < entry.size) this.#gathered = Buffer.allocUnsafeSlow(WHOLE_CONTENT_LIMIT);
      this.#gatheredLength += bytes.copy(this.#gathered, this.#gatheredLength);
      if (!last) return;
      this.#batch.memory(this.#gathered.subarray(0, this.#gatheredLength));
      this.#gatheredLength = 0;
    }
    this.#pushFile(entry);
  }

  reference(chunk: FdChunk | NamedChunk, entry: TarEntry): void {
    if (chunk.kind === 'fd') this.#batch.open(chunk.fd, chunk.size);
    else this.#batch.named(chunk.dir, chunk.name, chunk.size);
    this.#pushFile(entry);
  }

  /** Lets the pool catch up when enough is under way. @throws what went wrong in the pool */
  async pause(): Promise<void> {
    this.#submitWhenFull();
    await this.pipeline.room();
  }

  /** Ends the tar. @returns its digest @throws what went wrong in the pool */
  async end(): Promise<string> {
    this.#scanner.end();
    this.#submit();
    await this.pipeline.finish();
    return this.pipeline.digest();
  }

  /** How much of the tar is in the splitstream, in bytes. */
  get size(): number {
    return this.#writer.size;
  }

  async storeStream(store: ObjectStore): Promise<ObjectId> {
    return store.put(await this.#writer.finish());
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
    if (this.pipeline.isFull) this.#submit();
  }

  #submit(): void {
    if (this.#batch.length === 0) return;
    const pieces = this.#pieces;
    this.#pieces = [];
    const entries = this.#entries;
    this.#entries = this.#contentDue ? [entries.pop() as PlacedEntry] : [];
    this.pipeline.submit({ pieces, entries });
  }

  #write(results: readonly FileResult[], { pieces, entries }: SubmittedBatch): void {
    let next = 0;
    for (const piece of pieces) {
      if (Buffer.isBuffer(piece)) {
        this.#writer.inline(piece);
        this.stats.inlineBytes += piece.length;
      } else {
        this.#writeFile(piece, results[next++] as FileResult);
      }
    }
    this.stats.tarBytes = this.#writer.size;
    this.#onWritten(entries);
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
    if (result.unshareable) this.stats.unshareable++;
    if (result.outcome !== 'present') this.stats[`${result.outcome}Bytes`] += size;
  }
}

/** Copies of what is kept until its batch comes back, many in one piece of memory. */
class InlineBytes {
  #block = Buffer.alloc(0);
  #length = 0;

  copy(bytes: Buffer): Buffer {
    if (this.#length + bytes.length > this.#block.length) {
      this.#block = Buffer.allocUnsafeSlow(Math.max(INLINE_BLOCK, bytes.length));
      this.#length = 0;
    }
    const from = this.#length;
    this.#length += bytes.copy(this.#block, from);
    return this.#block.subarray(from, this.#length);
  }
}

function placeFailure(error: StoreFailure, { pieces }: SubmittedBatch): BridgeError | undefined {
  const file = pieces.filter((piece): piece is PendingFile => !Buffer.isBuffer(piece))[error.file ?? -1];
  if (file === undefined) return undefined;
  const { entry } = file.placed;
  return new BridgeError(error.code, error.message, {
    cause: error,
    place: { entry: showBytes(entry.path), offset: entry.offset },
  });
}
