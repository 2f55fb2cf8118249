// A patch in the form of bsdiff, without its header and compression: records of
//
//   i64 LE n, i64 LE m, i64 LE seek    the last one, as all, with its sign in the highest bit and not as complement
//   n bytes                            added to as many of the old file
//   m bytes                            that are new
//
// after which the place in the old file moves by n + seek.
import { FormatError } from '../../errors.js';
import { PIECE, type ByteRange } from './byte-range.js';

const RECORD = 24;
const SIGN = 1n << 63n;

/**
 * Makes a new file of an old one, piece by piece.
 * @param patch all of the patch; what it refers to outside of the old file counts as zeros
 * @throws FormatError `OSTREE_DELTA` for a patch that is cut, or has negative lengths
 */
export function* patched(old: ByteRange, patch: ByteRange): Generator<Buffer, void, void> {
  const reader = new Reader(patch);
  let at = 0;
  while (!reader.ended) {
    const record = reader.take(RECORD);
    const [add, copy, seek] = [signed(record, 0), signed(record, 8), signed(record, 16)] as [number, number, number];
    if (add < 0 || copy < 0) throw new FormatError('OSTREE_DELTA', 'a patch in the delta has a negative length');
    for (let done = 0; done < add; done += PIECE) {
      const piece = Buffer.from(reader.take(Math.min(PIECE, add - done)));
      addOld(piece, old, at + done);
      yield piece;
    }
    for (let done = 0; done < copy; done += PIECE) yield reader.take(Math.min(PIECE, copy - done));
    at += add + seek;
    if (!Number.isSafeInteger(at)) throw new FormatError('OSTREE_DELTA', 'a patch in the delta goes too far');
  }
}

function addOld(piece: Buffer, old: ByteRange, at: number): void {
  const start = Math.max(at, 0);
  const end = Math.min(at + piece.length, old.length);
  if (start >= end) return;
  const bytes = old.read(start, end - start);
  for (let i = 0, to = start - at; i < bytes.length; i++, to++) piece[to] = piece[to]! + bytes[i]!;
}

function signed(record: Buffer, at: number): number {
  const value = record.readBigUInt64LE(at);
  const size = Number(value & (SIGN - 1n));
  return value >= SIGN ? -size : size;
}

/** Reads forward; records of a few bytes do not each cost a call. */
class Reader {
  readonly #range: ByteRange;
  #block = Buffer.alloc(0);
  /** Of the end of the block in the range. */
  #at = 0;

  constructor(range: ByteRange) {
    this.#range = range;
  }

  get ended(): boolean {
    return this.#block.length === 0 && this.#at === this.#range.length;
  }

  /** The next bytes, valid for good. */
  take(length: number): Buffer {
    if (this.#block.length < length) {
      const more = Math.min(Math.max(length, PIECE), this.#range.length - this.#at);
      this.#block = Buffer.concat([this.#block, this.#range.read(this.#at, more)]);
      this.#at += more;
      if (this.#block.length < length) throw new FormatError('OSTREE_DELTA', 'a patch in the delta is cut');
    }
    const taken = this.#block.subarray(0, length);
    this.#block = this.#block.subarray(length);
    return taken;
  }
}
