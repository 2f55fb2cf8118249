import { showBytes } from '../bytes.js';
import { FormatError } from '../errors.js';
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
import { closeChunk, type FdChunk, type LayerStream, type NamedChunk } from './stream.js';
import { TarScanner, type TarVisitor } from './tar-scanner.js';

/** Small parts are joined up to this length, in bytes. */
const WRITE_SIZE = 64 * 1024;
/** Metadata is held back to become one chunk up to this length, in bytes. */
const METADATA_SIZE = 1024 * 1024;
const TWO_32 = 0x1_0000_0000;

/**
 * Writes a layer as splitdirfdstream. The caller disposes the layer.
 * @param slotOf the directory slot under which the peer finds a chunk's directory; undefined when it has not got it or
 *   could not open the file, whose content then travels in the stream
 * @returns the stream in pieces for writing; throws FormatError when the layer is not a tar, a file is not what its
 *   chunk promised, or one that has to travel in the stream is over 256 MiB
 */
export async function* encodeSplitdirfdstream(
  layer: LayerStream,
  slotOf: (chunk: NamedChunk) => number | undefined,
): AsyncGenerator<Buffer, void, void> {
  const encoder = new Encoder(slotOf);
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
    if (!isBuffer) yield* readChunk(part);
    else if (part.length >= WRITE_SIZE) yield part;
    else {
      joined.push(part);
      length += part.length;
    }
  }
  if (length > 0) yield Buffer.concat(joined, length);
}

/** Bytes of the stream, or a file whose content belongs in this place. */
type Part = Buffer | FdChunk | NamedChunk;

class Encoder implements TarVisitor {
  readonly parts: Part[] = [];
  readonly #slotOf: (chunk: NamedChunk) => number | undefined;
  #metadata: Buffer[] = [];
  #metadataLength = 0;
  #inContent = false;

  constructor(slotOf: (chunk: NamedChunk) => number | undefined) {
    this.#slotOf = slotOf;
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
    if (!this.#inContent) this.#beginContent(entry);
    this.#inContent = !last;
    this.parts.push(bytes);
  }

  reference(chunk: FdChunk | NamedChunk, entry: TarEntry): void {
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
    this.flush();
    const header = Buffer.allocUnsafe(FILE_HEADER_SIZE + chunk.name.length);
    header[0] = FILE_BACKED_DATA;
    header.writeUInt32LE(chunk.size % TWO_32, 1);
    header.writeUInt32LE(Math.floor(chunk.size / TWO_32), 5);
    header.writeUInt32LE(slot, 9);
    header.writeUInt32LE(chunk.name.length, 13);
    header.write(chunk.name, FILE_HEADER_SIZE, 'latin1');
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
    if (entry.size > CHUNK_BODY_LIMIT) {
      const message =
        `content of ${entry.size} bytes cannot travel in a splitdirfdstream; the limit is ` + `${CHUNK_BODY_LIMIT}`;
      throw new FormatError('SPLITDIRFDSTREAM', message, {
        place: { entry: showBytes(entry.path), offset: entry.offset },
      });
    }
    this.flush();
    this.parts.push(bytesHeader(INLINE_DATA, entry.size));
  }
}

function bytesHeader(type: number, length: number): Buffer {
  const header = Buffer.allocUnsafe(BYTES_HEADER_SIZE);
  header[0] = type;
  header.writeUInt32LE(length, 1);
  return header;
}
