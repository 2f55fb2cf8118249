import { decompress } from '../../compress/decompress.js';
import { BridgeError, DigestMismatchError, FormatError } from '../../errors.js';
import type { ByteSource } from '../../fd/byte-source.js';
import { objectPath } from '../../fsverity/object-id.js';
import type { TarEntry } from '../../layer/entry.js';
import type { Chunk, LayerStream } from '../../layer/stream.js';
import { TAR_DIFF_HEADER_LENGTH, tarDiffHeader, type TarDiffVersion } from '../../layer/tar-diff-format.js';
import { TarDiffReader, type TarDiffPiece } from '../../layer/tar-diff-reader.js';
import { TarScanner, type TarVisitor } from '../../layer/tar-scanner.js';
import type { ObjectStore } from '../../repository/objects.js';
import type { Directory } from '../../tree/tree.js';
import { findFile } from './base.js';
import { DictionaryFrame } from './dictionary-frame.js';
import type { MemoryRoom } from './memory-room.js';
import { SourceFile } from './source-file.js';

/** So many chunks, or so many bytes in them, are handed out at once. */
const BATCH_LENGTH = 256;
const BATCH_BYTES = 1 << 20;

const VERSIONS: readonly TarDiffVersion[] = [1, 2];

export interface PatchedLayerOptions {
  /** files of the image that is changed */
  root: Directory;
  objects: ObjectStore;
  /** for dictionaries and the windows of their frames */
  room: MemoryRoom;
  signal: AbortSignal;
}

/**
 * The layer that a patch makes of another image's files. What is a whole object of the repository comes as its name.
 * @param patch its bytes; moves into the stream
 */
export function patchedLayer(patch: ByteSource, options: PatchedLayerOptions): LayerStream {
  return new PatchedLayer(patch, options);
}

class PatchedLayer implements LayerStream {
  readonly #patch: ByteSource;
  readonly #options: PatchedLayerOptions;
  readonly #batches: AsyncGenerator<readonly Chunk[], void, void>;
  #reader = new TarDiffReader(1);
  readonly #place = new TarPlace();
  #out: Chunk[] = [];
  #outBytes = 0;
  #file: SourceFile | undefined;
  #position = 0;
  #frame: DictionaryFrame | undefined;

  constructor(patch: ByteSource, options: PatchedLayerOptions) {
    this.#patch = patch;
    this.#options = options;
    this.#batches = this.#read();
  }

  [Symbol.asyncIterator](): AsyncGenerator<readonly Chunk[], void, void> {
    return this.#batches;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      // First the source: a generator that waits for it does not take part in return().
      await this.#patch[Symbol.asyncDispose]();
      await this.#batches.return();
    } finally {
      this.#frame?.[Symbol.dispose]();
      this.#file?.[Symbol.dispose]();
    }
  }

  async *#read(): AsyncGenerator<readonly Chunk[], void, void> {
    const pieces = this.#patch[Symbol.asyncIterator]();
    try {
      const rest = await this.#readHeader(pieces);
      const operations = decompress(
        { [Symbol.asyncIterator]: () => continued(rest, pieces), [Symbol.asyncDispose]: async () => undefined },
        'zstd',
      );
      for await (const bytes of operations) {
        for (const piece of this.#reader.read(bytes)) {
          const blocks = this.#apply(piece);
          if (blocks !== undefined)
            for await (const block of blocks) {
              this.#give(block);
              if (this.#isFull) yield this.#take();
            }
          if (this.#isFull) yield this.#take();
        }
        // What was taken out of these bytes is theirs, and the next ones come in the same memory.
        if (this.#out.length > 0) yield this.#take();
      }
      this.#reader.end();
    } catch (error) {
      throw withOperation(error, this.#reader.operation);
    } finally {
      // Not waited for: a read may be under way, which only disposing ends.
      pieces.return?.().catch(() => undefined);
    }
  }

  /** @returns what came after it */
  async #readHeader(pieces: AsyncIterator<Buffer>): Promise<Buffer> {
    const begin: Buffer[] = [];
    for (let length = 0; length < TAR_DIFF_HEADER_LENGTH; ) {
      const next = await pieces.next();
      if (next.done) break;
      begin.push(Buffer.from(next.value));
      length += next.value.length;
    }
    const bytes = Buffer.concat(begin);
    const header = bytes.subarray(0, TAR_DIFF_HEADER_LENGTH);
    const version = VERSIONS.find((candidate) => tarDiffHeader(candidate).equals(header));
    if (version === undefined) throw new FormatError('TAR_DIFF', 'the patch does not begin as one of version 1 or 2');
    this.#reader = new TarDiffReader(version);
    return bytes.subarray(TAR_DIFF_HEADER_LENGTH);
  }

  /** @returns bytes that are still to be read; undefined when all is done */
  #apply(piece: TarDiffPiece): AsyncIterable<Buffer> | undefined {
    switch (piece.kind) {
      case 'data':
        if (piece.bytes.length > 0) this.#give(piece.bytes);
        return undefined;
      case 'open':
        this.#file?.[Symbol.dispose]();
        this.#file = undefined;
        this.#file = new SourceFile(findFile(this.#options.root, piece.name), this.#options.objects);
        this.#position = 0;
        return undefined;
      case 'seek':
        this.#opened();
        this.#position = piece.position;
        return undefined;
      case 'copy':
        return this.#copy(piece.length);
      case 'addData':
        return this.#add(piece.bytes);
      case 'zstdDict':
        return this.#decode(piece.bytes, piece);
    }
  }

  #copy(length: number): AsyncIterable<Buffer> | undefined {
    const file = this.#opened();
    if (length === 0) return undefined;
    const position = this.#position;
    file.check(position, length);
    this.#position += length;
    if (file.object !== undefined && position === 0 && length === file.size && this.#place.takesFileOf(length)) {
      const { dir } = this.#options.objects;
      const chunk = { kind: 'named', dir, name: objectPath(file.object), size: length } as const;
      this.#place.scanner.reference(chunk);
      this.#out.push(chunk);
      return undefined;
    }
    const there = file.inMemory(position, length);
    if (there === undefined) return file.pieces(position, length);
    this.#give(Buffer.from(there));
    return undefined;
  }

  #add(bytes: Buffer): AsyncIterable<Buffer> | undefined {
    const file = this.#opened();
    if (bytes.length === 0) return undefined;
    const position = this.#position;
    file.check(position, bytes.length);
    this.#position += bytes.length;
    const there = file.inMemory(position, bytes.length);
    if (there === undefined) return addedLater(file.bytes(position, bytes.length), bytes);
    this.#give(sum(there, bytes));
    return undefined;
  }

  async *#decode(
    bytes: Buffer,
    { first, last }: { first: boolean; last: boolean },
  ): AsyncGenerator<Buffer, void, void> {
    const file = this.#opened();
    if (first) this.#frame = new DictionaryFrame(file, this.#options.room, this.#options.signal);
    const frame = this.#frame!;
    yield* frame.read(bytes);
    if (!last) return;
    frame.end();
    frame[Symbol.dispose]();
    this.#frame = undefined;
    this.#position = file.size;
  }

  #opened(): SourceFile {
    if (this.#file === undefined) throw new FormatError('TAR_DIFF', 'no file was opened before');
    return this.#file;
  }

  #give(bytes: Buffer): void {
    this.#place.scanner.bytes(bytes);
    this.#out.push({ kind: 'bytes', bytes });
    this.#outBytes += bytes.length;
  }

  get #isFull(): boolean {
    return this.#out.length >= BATCH_LENGTH || this.#outBytes >= BATCH_BYTES;
  }

  #take(): Chunk[] {
    const taken = this.#out;
    this.#out = [];
    this.#outBytes = 0;
    return taken;
  }
}

/** Where in the tar the patch is. */
class TarPlace implements TarVisitor {
  readonly scanner = new TarScanner(this);
  #entry: TarEntry | undefined;

  /** Whether the content of a file of so many bytes comes next. */
  takesFileOf(size: number): boolean {
    return this.scanner.stage === 'content' && this.scanner.due === size && this.#entry?.size === size;
  }

  entry(entry: TarEntry): void {
    this.#entry = entry;
  }

  inline(): void {
    // Only where entries are matters.
  }

  smallContent(): void {
    // The same.
  }

  content(): void {
    // The same.
  }

  reference(): void {
    // The same.
  }
}

async function* addedLater(source: Promise<Buffer>, bytes: Buffer): AsyncGenerator<Buffer, void, void> {
  yield sum(await source, bytes);
}

/** @param a as long as `b` */
function sum(a: Buffer, b: Buffer): Buffer {
  const result = Buffer.allocUnsafeSlow(b.length);
  for (let index = 0; index < b.length; index++) result[index] = (a[index] as number) + (b[index] as number);
  return result;
}

async function* continued(begin: Buffer, pieces: AsyncIterator<Buffer>): AsyncGenerator<Buffer, void, void> {
  if (begin.length > 0) yield begin;
  for (let next = await pieces.next(); !next.done; next = await pieces.next()) yield next.value;
}

/** What the network or another blob is to blame for has nothing to do with an operation. */
function withOperation(error: unknown, operation: string): unknown {
  const isOfPatch = error instanceof FormatError || (error instanceof BridgeError && error.code === 'NOT_FOUND');
  if (!isOfPatch || error instanceof DigestMismatchError) return error;
  const message = `${operation} of the patch: ${error.reason}`;
  return error instanceof FormatError
    ? new FormatError(error.code, message, { cause: error, place: error.place })
    : new BridgeError(error.code, message, { cause: error, place: error.place });
}
