import { showBytes, type ByteString } from '../bytes.js';
import { FormatError } from '../errors.js';
import type { Fd } from '../fd/fd.js';
import { CHUNK_BODY_LIMIT, CHUNK_NAME_LIMIT } from '../limits.js';
import { readChunk } from './content.js';
import type { TarEntry } from './entry.js';
import {
  BYTES_HEADER_SIZE,
  FILE_BACKED_DATA,
  FILE_HEADER_SIZE,
  INLINE_DATA,
  METADATA,
} from './splitdirfdstream-format.js';
import { closeChunk, type Chunk, type FdChunk, type NamedChunk } from './stream.js';
import { TarScanner, type TarVisitor } from './tar-scanner.js';

/** Small parts are joined up to this length, in bytes. */
const WRITE_SIZE = 64 * 1024;
/** Metadata is held back to become one chunk up to this length, in bytes. */
const METADATA_SIZE = 1024 * 1024;
const TWO_32 = 0x1_0000_0000;

interface OurExtensions {
  split?: boolean;
  passFile?: (file: Fd) => number;
}

/**
 * Writes a layer as splitdirfdstream. The caller disposes the layer.
 * @param slotOf the directory slot under which the peer finds a chunk's directory; undefined when it has not got it or
 *   could not open the file, whose content then travels in the stream
 * @param ours for readers of our own, what the format does not have: the content of a file over 256 MiB travels in
 *   several chunks (`split`), and what is open already goes as it is (`passFile`, which takes it and says the slot)
 * @returns the stream in pieces for writing; throws FormatError when the layer is not a tar, a file is not what its
 *   chunk promised, or one that has to travel in the stream is over 256 MiB and may not be split
 */
export async function* encodeSplitdirfdstream(
  layer: AsyncIterable<readonly Chunk[]>,
  slotOf: (chunk: NamedChunk) => number | undefined,
  ours: OurExtensions = {},
): AsyncGenerator<Buffer, void, void> {
  const encoder = new Encoder(slotOf, ours);
  const scanner = new TarScanner(encoder);
  for await (const batch of layer) {
    let taken = 0;
    try {
      while (taken < batch.length) {
        const chunk = batch[taken++]!;
        if (chunk.kind === 'bytes') scanner.bytes(chunk.bytes);
        else scanner.reference(chunk);
      }
      yield* write(encoder.parts);
    } finally {
      for (; taken < batch.length; taken++) closeChunk(batch[taken]!);
      for (const part of encoder.parts.splice(0)) if (!Buffer.isBuffer(part)) closeChunk(part);
    }
  }
  scanner.end();
  encoder.flush();
  yield* write(encoder.parts);
}

/** Joins small parts and reads the files among them. */
async function* write(parts: readonly Part[]): AsyncGenerator<Buffer, void, void> {
  let joined: Buffer[] = [];
  let length = 0;
  for (const part of parts) {
    const isBuffer = Buffer.isBuffer(part);
    if (length > 0 && (!isBuffer || length + part.length > WRITE_SIZE)) {
      yield Buffer.concat(joined, length);
      joined = [];
      length = 0;
    }
    if (!isBuffer) yield* part.size > CHUNK_BODY_LIMIT ? inChunks(part) : readChunk(part);
    else if (part.length >= WRITE_SIZE) yield part;
    else {
      joined.push(part);
      length += part.length;
    }
  }
  if (length > 0) yield Buffer.concat(joined, length);
}

/** The content of a file that is too large for one chunk. */
async function* inChunks(file: FdChunk | NamedChunk): AsyncGenerator<Buffer, void, void> {
  const chunks = new LargeContent(file.size);
  for await (const bytes of readChunk(file)) yield* chunks.next(bytes);
}

/** Where the chunks of a large content begin. */
class LargeContent {
  /** of the content, in bytes */
  #left: number;
  /** of the chunk, in bytes */
  #room = 0;

  constructor(size: number) {
    this.#left = size;
  }

  /** The next bytes, with the headers that belong before and among them. */
  *next(bytes: Buffer): Generator<Buffer, void, void> {
    for (let pos = 0; pos < bytes.length; ) {
      if (this.#room === 0) {
        this.#room = Math.min(this.#left, CHUNK_BODY_LIMIT);
        this.#left -= this.#room;
        yield bytesHeader(INLINE_DATA, this.#room);
      }
      const some = bytes.subarray(pos, pos + this.#room);
      this.#room -= some.length;
      pos += some.length;
      yield some;
    }
  }
}

/** Bytes of the stream, or a file whose content belongs in this place. */
type Part = Buffer | FdChunk | NamedChunk;

class Encoder implements TarVisitor {
  readonly parts: Part[] = [];
  readonly #slotOf: (chunk: NamedChunk) => number | undefined;
  #metadata: Buffer[] = [];
  #metadataLength = 0;
  #inContent = false;
  readonly #ours: OurExtensions;
  #large: LargeContent | undefined;

  constructor(slotOf: (chunk: NamedChunk) => number | undefined, ours: OurExtensions) {
    this.#slotOf = slotOf;
    this.#ours = ours;
  }

  entry(): void {}

  smallContent(): void {}

  inline(bytes: Buffer): void {
    for (let pos = 0; pos < bytes.length; pos += METADATA_SIZE) {
      const part = bytes.subarray(pos, pos + METADATA_SIZE);
      if (this.#metadataLength + part.length > METADATA_SIZE) this.flush();
      this.#metadata.push(Buffer.from(part));
      this.#metadataLength += part.length;
    }
  }

  content(bytes: Buffer, entry: TarEntry, last: boolean): void {
    if (!this.#inContent) {
      this.#beginContent(entry);
      this.#large = entry.size > CHUNK_BODY_LIMIT ? new LargeContent(entry.size) : undefined;
    }
    this.#inContent = !last;
    if (this.#large === undefined) this.parts.push(bytes);
    else this.parts.push(...this.#large.next(bytes));
  }

  reference(chunk: FdChunk | NamedChunk, entry: TarEntry): void {
    if (chunk.kind === 'fd' && this.#ours.passFile !== undefined)
      return this.#fileBacked(this.#ours.passFile(chunk.fd), '', chunk.size);
    const slot = chunk.kind === 'named' && chunk.name.length <= CHUNK_NAME_LIMIT ? this.#slotOf(chunk) : undefined;
    if (chunk.kind === 'fd' || slot === undefined) {
      try {
        this.#beginContent(entry);
      } catch (error) {
        closeChunk(chunk);
        throw error;
      }
      this.parts.push(chunk);
      return;
    }
    this.#fileBacked(slot, chunk.name, chunk.size);
  }

  #fileBacked(slot: number, name: ByteString, size: number): void {
    this.flush();
    const header = Buffer.allocUnsafe(FILE_HEADER_SIZE + name.length);
    header[0] = FILE_BACKED_DATA;
    header.writeUInt32LE(size % TWO_32, 1);
    header.writeUInt32LE(Math.floor(size / TWO_32), 5);
    header.writeUInt32LE(slot, 9);
    header.writeUInt32LE(name.length, 13);
    header.write(name, FILE_HEADER_SIZE, 'latin1');
    this.parts.push(header);
  }

  /** Makes a chunk of the metadata held back. */
  flush(): void {
    if (this.#metadataLength === 0) return;
    this.parts.push(bytesHeader(METADATA, this.#metadataLength), ...this.#metadata);
    this.#metadata = [];
    this.#metadataLength = 0;
  }

  #beginContent(entry: TarEntry): void {
    if (entry.size > CHUNK_BODY_LIMIT && this.#ours.split !== true) {
      const message =
        `content of ${entry.size} bytes cannot travel in a splitdirfdstream; the limit is ` + `${CHUNK_BODY_LIMIT}`;
      throw new FormatError('SPLITDIRFDSTREAM', message, {
        place: { entry: showBytes(entry.path), offset: entry.offset },
      });
    }
    this.flush();
    // Those of larger content come with it.
    if (entry.size <= CHUNK_BODY_LIMIT) this.parts.push(bytesHeader(INLINE_DATA, entry.size));
  }
}

function bytesHeader(type: number, length: number): Buffer {
  const header = Buffer.allocUnsafe(BYTES_HEADER_SIZE);
  header[0] = type;
  header.writeUInt32LE(length, 1);
  return header;
}
