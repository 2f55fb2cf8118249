import { showBytes, type ByteString } from '../../bytes.js';
import { FormatError } from '../../errors.js';
import { INLINE_LIMIT, type TarEntry } from '../../layer/entry.js';
import { closeChunk, type Chunk, type FdChunk, type LayerStream, type NamedChunk } from '../../layer/stream.js';
import { Batch } from '../../layer/batch.js';
import { TarScanner, type TarVisitor } from '../../layer/tar-scanner.js';
import { WHITEOUT } from '../../layer/whiteouts.js';
import { cleanName } from '../tar-split.js';
import { TarSplitWriter } from '../tar-split-writer.js';
import { addEntry, overrideOf, type EntryRules, type OverrideFacts } from './entry-record.js';
import type { Extraction } from './extraction.js';

/** A batch is full with so many files, of each of which two descriptors are open until it is hashed, or bytes. */
const BATCH_FILES = 128;
const BATCH_BYTES = 256 * 1024;
/** In each of three steps is one, one waits, and one is filled. */
const BATCHES_IN_FLIGHT = 4;
/**
 * Longer segments of tar-split are cut. The headers of one entry are shorter, and stay in one, where readers look.
 */
const SEGMENT_BYTES = 4 << 20;

/** A header of which the bytes have not been seen yet, or not all of its content that comes with them. */
interface Due {
  entry: TarEntry;
  contentAt: number;
}

/**
 * Takes a tar apart: its entries go into a folder, and what is needed to put it together again into a tar-split file.
 */
export class LayerExtractor implements TarVisitor {
  readonly uids = new Set<number>();
  readonly gids = new Set<number>();
  readonly #names = new Set<ByteString>();
  readonly #extraction: Extraction;
  readonly #rules: EntryRules;
  readonly #batch = new Batch();
  readonly #scanner = new TarScanner(this);
  readonly #split = new TarSplitWriter();
  readonly #submitted: Promise<Buffer>[] = [];
  /** Bytes of the segment that is not in the text yet. */
  #segmentLength = 0;
  /** How far in the tar what came out of the scanner has led. */
  #at = 0;
  /** Entries are told before the bytes they are in. */
  readonly #due: Due[] = [];
  readonly #small = Buffer.allocUnsafeSlow(INLINE_LIMIT);
  #smallLength = 0;
  #streaming = false;
  #root: OverrideFacts | undefined;

  constructor(extraction: Extraction, rules: EntryRules) {
    this.#extraction = extraction;
    this.#rules = rules;
  }

  /** Bytes of the tar that were seen. */
  get size(): number {
    return this.#scanner.offset;
  }

  /** What `OVERRIDE_XATTR` says of the layer's root. */
  get rootOverride(): ByteString {
    const { uid, gid, mode } = this.#root ?? { uid: 0, gid: 0, mode: 0o755 };
    return overrideOf({ uid, gid, mode: mode & 0o777, type: 'directory', devMajor: 0, devMinor: 0 });
  }

  /** Reads the layer, and closes whatever it hands out. @returns the text of the tar-split file */
  async *read(stream: LayerStream, signal: AbortSignal | undefined): AsyncGenerator<Buffer, void, void> {
    for await (const chunks of stream) {
      signal?.throwIfAborted();
      this.#take(chunks);
      while (this.#submitted.length > BATCHES_IN_FLIGHT) yield await this.#first();
    }
    this.#scanner.end();
    this.#endSegment();
    this.#submit();
    while (this.#submitted.length > 0) yield await this.#first();
  }

  /** Closes the descriptors of what was not submitted. */
  discard(): void {
    this.#batch.discard();
  }

  #take(chunks: readonly Chunk[]): void {
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

  entry(entry: TarEntry, contentAt: number): void {
    this.#due.push({ entry, contentAt });
  }

  inline(bytes: Buffer): void {
    for (let from = 0; from < bytes.length; ) {
      const due = this.#due[0];
      if (due !== undefined && this.#at >= due.contentAt) {
        from = this.#smallPiece(bytes, from, due);
        continue;
      }
      const stop = due === undefined ? bytes.length : Math.min(bytes.length, from + due.contentAt - this.#at);
      this.#addSegment(bytes.subarray(from, stop));
      from = stop;
      if (due !== undefined && this.#at === due.contentAt) this.#begin(due.entry);
    }
  }

  smallContent(): void {
    // It is among the inline bytes.
  }

  content(bytes: Buffer, entry: TarEntry, last: boolean): void {
    this.#at += bytes.length;
    if (bytes.length === entry.size) {
      this.#batch.memory(bytes);
    } else {
      if (!this.#streaming) this.#batch.dataBegin(entry.size);
      this.#streaming = !last;
      this.#batch.data(bytes);
      if (!last) return this.#submitWhenFull();
      this.#batch.dataEnd();
    }
    this.#endContent(entry);
  }

  reference(chunk: FdChunk | NamedChunk, entry: TarEntry): void {
    this.#at += chunk.size;
    if (chunk.kind === 'fd') this.#batch.open(chunk.fd, chunk.size);
    else this.#batch.named(chunk.dir, chunk.name, chunk.size);
    this.#endContent(entry);
  }

  #addSegment(bytes: Buffer): void {
    this.#at += bytes.length;
    this.#batch.bytes(bytes);
    this.#segmentLength += bytes.length;
    if (this.#segmentLength >= SEGMENT_BYTES) this.#endSegment();
  }

  /** Its header is complete. */
  #begin(entry: TarEntry): void {
    const path = cleanName(entry.path);
    this.#checkName(path, entry);
    if (!path.slice(path.lastIndexOf('/') + 1).startsWith(WHITEOUT)) {
      this.uids.add(entry.uid);
      this.gids.add(entry.gid);
    }
    if (path === '') this.#root = entry;
    addEntry(this.#batch, entry, this.#rules);
    this.#endSegment();
    if (entry.size > 0) return;
    this.#due.shift();
    this.#batch.text(this.#split.file(entry.path, 0).join(''));
    this.#submitWhenFull();
  }

  /** Content is found by its name when the tar is put together again: one name has to have one content. */
  #checkName(path: ByteString, { path: name, offset }: TarEntry): void {
    if (this.#names.size === this.#names.add(path).size)
      throw new FormatError('LAYER_DUPLICATE', 'the layer has two entries of one name, which no store takes', {
        place: { entry: showBytes(name), offset },
      });
  }

  /** Takes content that is among the inline bytes. @returns the position after it */
  #smallPiece(bytes: Buffer, from: number, { entry }: Due): number {
    const stop = Math.min(bytes.length, from + entry.size - this.#smallLength);
    this.#smallLength += bytes.copy(this.#small, this.#smallLength, from, stop);
    this.#at += stop - from;
    if (this.#smallLength < entry.size) return stop;
    this.#batch.memory(this.#small.subarray(0, this.#smallLength));
    this.#smallLength = 0;
    this.#endContent(entry);
    return stop;
  }

  #endContent(entry: TarEntry): void {
    this.#due.shift();
    const [before, behind] = this.#split.file(entry.path, entry.size);
    this.#batch.text(before);
    this.#batch.checksum();
    this.#batch.text(behind);
    this.#submitWhenFull();
  }

  #endSegment(): void {
    if (this.#segmentLength === 0) return;
    const [before, behind] = this.#split.segment();
    this.#batch.text(before);
    this.#batch.segment();
    this.#batch.text(behind);
    this.#segmentLength = 0;
  }

  #submitWhenFull(): void {
    if (this.#batch.files >= BATCH_FILES || this.#batch.length >= BATCH_BYTES) this.#submit();
  }

  #submit(): void {
    const text = this.#extraction.submit(this.#batch);
    // A failure is seen when its turn comes; until then it must not count as unhandled.
    text.catch(() => undefined);
    this.#submitted.push(text);
  }

  async #first(): Promise<Buffer> {
    return await (this.#submitted.shift() as Promise<Buffer>);
  }
}
