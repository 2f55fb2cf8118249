import { FormatError } from '../../errors.js';
import type { Fd } from '../../fd/fd.js';
import { readAt, readBlocks } from '../../fd/read-file.js';

/** Large files are read in pieces of so many bytes. */
export const PIECE = 256 << 10;

/** Bytes that can be read from any place on. */
export interface ByteRange {
  readonly length: number;
  /** The bytes from `offset` on. @throws FormatError `OSTREE_DELTA` outside of the range */
  read(offset: number, length: number): Buffer;
  /** A part of this range. @throws FormatError `OSTREE_DELTA` outside of it */
  slice(offset: number, length: number): ByteRange;
  /** All of it in pieces, read beside the event loop; each is overwritten by the next. @throws the signal's reason */
  blocks(signal: AbortSignal): AsyncIterable<Buffer>;
}

/** Bytes that are in memory. */
export class MemoryRange implements ByteRange {
  readonly #bytes: Buffer;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get length(): number {
    return this.#bytes.length;
  }

  read(offset: number, length: number): Buffer {
    checkRange(this.length, offset, length);
    return this.#bytes.subarray(offset, offset + length);
  }

  slice(offset: number, length: number): MemoryRange {
    return new MemoryRange(this.read(offset, length));
  }

  async *blocks(): AsyncGenerator<Buffer, void, void> {
    yield this.#bytes;
  }
}

/** A part of an open file, which stays the caller's. */
export class FileRange implements ByteRange {
  readonly #file: Fd;
  readonly #start: number;

  constructor(
    file: Fd,
    start: number,
    readonly length: number,
  ) {
    this.#file = file;
    this.#start = start;
  }

  read(offset: number, length: number): Buffer {
    checkRange(this.length, offset, length);
    return readAt(this.#file, this.#start + offset, length);
  }

  slice(offset: number, length: number): FileRange {
    checkRange(this.length, offset, length);
    return new FileRange(this.#file, this.#start + offset, length);
  }

  blocks(signal: AbortSignal): AsyncIterable<Buffer> {
    return readBlocks(this.#file, this.#start, this.#start + this.length, PIECE, signal);
  }
}

/** The same in pieces. */
export function* piecesOf(range: ByteRange, offset: number, length: number): Generator<Buffer, void, void> {
  checkRange(range.length, offset, length);
  for (let at = 0; at < length; at += PIECE) yield range.read(offset + at, Math.min(PIECE, length - at));
}

function checkRange(all: number, offset: number, length: number): void {
  if (offset + length > all)
    throw new FormatError('OSTREE_DELTA', `the delta asks for ${length} bytes from ${offset} on, of ${all}`);
}
