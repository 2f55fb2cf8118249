import { FormatError } from '../../errors.js';
import { INLINE_RUN_LIMIT, NAMED_REFS_LIMIT, OBJECT_REFS_LIMIT, SPLITSTREAM_LIMIT } from '../../limits.js';
import { DigestTable } from '../../fsverity/digest-table.js';
import type { Algorithm, ObjectId } from '../../fsverity/object-id.js';
import { DIGEST_SIZE, digestOf } from '../../fsverity/object-id.js';
import { encodeHead, encodeNamedRefs } from './format.js';
import { ZstdWriter } from '../../compress/zstd.js';

/** How much of the body is gathered before it is compressed, in bytes: a millisecond's worth. */
const FLUSH_SIZE = 128 << 10;
const BLOCK = 512;

/**
 * Builds one splitstream file. The same calls give the same bytes, equal to those of the reference: adjacent inline
 * bytes become one chunk, objects are numbered in order of first use, names are sorted.
 * Memory: the compressed body, the table of digests and the inline bytes since the last object (at most 32 MiB).
 */
export class SplitstreamWriter {
  readonly #algorithm: Algorithm;
  readonly #contentType: bigint;
  readonly #zstd = new ZstdWriter(SPLITSTREAM_LIMIT);
  readonly #objects: References;
  readonly #streams: References;
  readonly #named = new Map<string, number>();
  #size = 0;
  /** Body bytes not yet compressed; an open inline chunk starts at `#run` with room for its length. */
  #pending = Buffer.allocUnsafe(2 * FLUSH_SIZE);
  #length = 0;
  #run = -1;

  /**
   * @param contentType one of CONTENT_TYPES
   * @param algorithm the repository's, which fixes the length of object ids
   */
  constructor(contentType: bigint, algorithm: Algorithm) {
    this.#contentType = contentType;
    this.#algorithm = algorithm;
    this.#objects = new References(algorithm, OBJECT_REFS_LIMIT);
    this.#streams = new References(algorithm, NAMED_REFS_LIMIT);
  }

  /** Bytes of the merged stream so far, inline and external. */
  get size(): number {
    return this.#size;
  }

  /** Adds bytes that stay in the stream. They are copied. */
  inline(bytes: Uint8Array): void {
    let from = 0;
    while (from < bytes.length) {
      const to = Math.min(bytes.length, from + this.#roomInRun());
      this.#append(from === 0 && to === bytes.length ? bytes : bytes.subarray(from, to));
      from = to;
    }
  }

  /**
   * Adds the content of an object.
   * @param size its length in bytes; a layer's files have more than 0
   */
  external(id: ObjectId, size: number): void {
    if (!Number.isSafeInteger(size) || size < 0) throw new RangeError(`external chunk of ${size} bytes`);
    this.#closeRun();
    this.#reserve(8);
    this.#length = writeInt64(this.#pending, this.#objects.add(id), this.#length);
    this.#size += size;
    this.#flush(FLUSH_SIZE);
  }

  /** Refers to objects whose content is not part of the stream. @param digests raw, one after the other */
  refer(digests: Uint8Array): void {
    for (let at = 0; at < digests.length; at += DIGEST_SIZE[this.#algorithm]) this.#objects.addAt(digests, at);
  }

  /** Adds one inline chunk of any length, which is not cut. */
  async chunk(parts: readonly Buffer[]): Promise<void> {
    this.#closeRun();
    const size = parts.reduce((sum, part) => sum + part.length, 0);
    this.#reserve(8);
    this.#length = writeInt64(this.#pending, -size, this.#length);
    this.#flush(0);
    for (const part of parts) {
      for (let at = 0; at < part.length; at += FLUSH_SIZE) {
        this.#zstd.write(part.subarray(at, at + FLUSH_SIZE));
        await new Promise(setImmediate);
      }
    }
    this.#size += size;
  }

  /**
   * Names another stream or image; the last call for a name wins.
   * @param name text without NUL, such as a diff_id
   */
  addNamedRef(name: string, id: ObjectId): void {
    if (name.includes('\0')) throw new RangeError('a named reference cannot contain NUL');
    this.#named.set(name, this.#streams.add(id));
  }

  /** Ends the stream. @returns the whole file, to be stored as an object */
  async finish(): Promise<Buffer> {
    this.#closeRun();
    this.#flush(0);
    const stream = this.#zstd.finish();
    const names = new ZstdWriter(NAMED_REFS_LIMIT);
    const encoded = encodeNamedRefs(this.#named);
    if (encoded.length > NAMED_REFS_LIMIT)
      throw new FormatError(
        'SPLITSTREAM_LIMIT',
        `${this.#named.size} named references of more than ${NAMED_REFS_LIMIT} bytes in one splitstream`,
      );
    names.write(encoded);
    const sections = [this.#streams.bytes(), this.#objects.bytes(), names.finish(), stream] as const;
    const [streamRefs, objectRefs, namedRefs] = sections;
    const head = encodeHead(this.#algorithm, this.#contentType, BigInt(this.#size), {
      streamRefs: streamRefs.length,
      objectRefs: objectRefs.length,
      namedRefs: namedRefs.length,
      stream: stream.length,
    });
    return Buffer.concat([head, ...sections]);
  }

  #append(bytes: Uint8Array): void {
    if (this.#run < 0) {
      this.#reserve(8);
      this.#run = this.#length;
      this.#length += 8;
    }
    this.#reserve(bytes.length);
    this.#pending.set(bytes, this.#length);
    this.#length += bytes.length;
    this.#size += bytes.length;
  }

  /** How many more bytes the open run may take; a run that is full is closed. */
  #roomInRun(): number {
    if (this.#run < 0) return INLINE_RUN_LIMIT;
    // Readers take a tar header or a small file in one piece: cut only between the tar's 512-byte blocks.
    const over = this.#length - this.#run - 8 - INLINE_RUN_LIMIT;
    const toBlock = (BLOCK - (this.#size % BLOCK)) % BLOCK;
    if (over < 0) return -over;
    if (toBlock > 0) return toBlock;
    this.#closeRun();
    this.#flush(FLUSH_SIZE);
    return INLINE_RUN_LIMIT;
  }

  #closeRun(): void {
    if (this.#run < 0) return;
    writeInt64(this.#pending, this.#run + 8 - this.#length, this.#run);
    this.#run = -1;
  }

  #flush(threshold: number): void {
    if (this.#length < threshold) return;
    this.#zstd.write(this.#pending.subarray(0, this.#length));
    this.#length = 0;
  }

  #reserve(bytes: number): void {
    this.#pending = withRoom(this.#pending, this.#length, bytes);
  }
}

/** @returns where the next value goes */
function writeInt64(buffer: Buffer, value: number, at: number): number {
  return buffer.writeInt32LE(Math.floor(value / 2 ** 32), buffer.writeUInt32LE(value >>> 0, at));
}

/** Raw digests in order of first use. */
class References {
  readonly #algorithm: Algorithm;
  readonly #limit: number;
  readonly #table: DigestTable;

  /** @param limit most bytes of digests: what readers accept */
  constructor(algorithm: Algorithm, limit: number) {
    this.#algorithm = algorithm;
    this.#limit = limit;
    this.#table = new DigestTable(DIGEST_SIZE[algorithm]);
  }

  add(id: ObjectId): number {
    return this.addAt(digestOf(id, this.#algorithm), 0);
  }

  addAt(digests: Uint8Array, at: number): number {
    const index = this.#table.add(digests, at);
    if ((index + 1) * DIGEST_SIZE[this.#algorithm] > this.#limit)
      throw new FormatError(
        'SPLITSTREAM_LIMIT',
        `more than ${index} different objects in one splitstream; split the layer`,
      );
    return index;
  }

  bytes(): Buffer {
    return this.#table.bytes;
  }
}

function withRoom(buffer: Buffer<ArrayBuffer>, used: number, more: number): Buffer<ArrayBuffer> {
  if (used + more <= buffer.length) return buffer;
  const larger = Buffer.allocUnsafe(Math.max(2 * buffer.length, used + more));
  buffer.copy(larger, 0, 0, used);
  return larger;
}
