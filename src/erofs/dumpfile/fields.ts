import type { ByteString } from '../../bytes.js';
import { cString, unescapeField } from './escape.js';
import { parseMode, parseNumber } from './numbers.js';
import { SmallBigInts } from './small-bigints.js';

/** The fields by number; xattrs follow them. */
export const PATH = 0;
export const SIZE = 1;
export const MODE = 2;
export const NLINK = 3;
export const UID = 4;
export const GID = 5;
export const RDEV = 6;
const MTIME = 7;
export const PAYLOAD = 8;
export const CONTENT = 9;
export const DIGEST = 10;
export const XATTRS = 11;
const COUNT = 11;

const NEWLINE = 0x0a;
const SPACE = 0x20;
const DASH = 0x2d;
const DOT = 0x2e;
const ZERO = 0x30;
const BACKSLASH = 0x5c;
/** As many digits fit a number exactly. */
const SAFE_DIGITS = 15;

/**
 * The fields of one line after the other. Where they are is found in one go over the line's bytes, numbers are read
 * from there, and only what is kept becomes a string. Missing fields are empty, as for the C library.
 */
export class LineFields {
  /** Whole lines. */
  bytes: Buffer = Buffer.alloc(0);
  /** The same as text, from which fields are cut. */
  #text: ByteString = '';
  readonly #starts = new Int32Array(COUNT);
  readonly #ends = new Int32Array(COUNT);
  readonly #bigints = new SmallBigInts();
  /** First byte behind the line, where its newline is. */
  end = 0;
  /** Whether a field has an escape. */
  escaped = false;

  /** Turns to other lines. All offsets from then on are into them. */
  startChunk(bytes: Buffer): void {
    this.bytes = bytes;
    this.#text = bytes.toString('latin1');
  }

  /** Turns to the line that starts at an offset. */
  startLine(start: number): void {
    const { bytes } = this;
    const starts = this.#starts;
    const ends = this.#ends;
    const stop = bytes.length;
    let escaped = false;
    let field = 0;
    starts[0] = start;
    let at = start;
    for (; at < stop; at++) {
      const byte = bytes[at]!;
      if (byte === SPACE) {
        ends[field] = at;
        field++;
        if (field === COUNT) break;
        starts[field] = at + 1;
      } else if (byte === BACKSLASH) {
        escaped = true;
      } else if (byte === NEWLINE) {
        break;
      }
    }
    this.escaped = escaped;
    if (field === COUNT) {
      const newline = this.#text.indexOf('\n', at);
      this.end = newline < 0 ? stop : newline;
      return;
    }
    ends[field] = this.end = at;
    for (field++; field < COUNT; field++) starts[field] = ends[field] = at;
  }

  start(field: number): number {
    return this.#starts[field]!;
  }

  length(field: number): number {
    return this.#ends[field]! - this.#starts[field]!;
  }

  /** As it is in the file. */
  raw(field: number): ByteString {
    return this.slice(this.#starts[field]!, this.#ends[field]!);
  }

  slice(start: number, end: number): ByteString {
    return this.#text.slice(start, end);
  }

  /** @throws DumpProblem */
  value(field: number): ByteString {
    return this.escaped ? unescapeField(this.raw(field), field) : this.raw(field);
  }

  /** A value for the C tools, which end it at an escaped NUL. @throws DumpProblem */
  cString(field: number): ByteString {
    return this.escaped ? cString(this.value(field)) : this.raw(field);
  }

  /** Whether the field is `-`. */
  isUnset(field: number): boolean {
    return this.length(field) === 1 && this.startsWith(field, DASH);
  }

  startsWith(field: number, byte: number): boolean {
    return this.length(field) > 0 && this.bytes[this.#starts[field]!] === byte;
  }

  /** 0..2^64-1. @throws DumpProblem */
  number64(field: number): bigint {
    const plain = plainNumber(this.bytes, this.#starts[field]!, this.#ends[field]!);
    return plain >= 0 ? this.#bigints.get(plain) : parseNumber(this.raw(field), field);
  }

  /** The low 32 bits. @throws DumpProblem */
  number32(field: number): number {
    return this.#low32(this.#starts[field]!, this.#ends[field]!, field);
  }

  /** Octal, the low 16 bits. @throws DumpProblem */
  mode(): number {
    const { bytes } = this;
    const end = this.#ends[MODE]!;
    const start = this.#starts[MODE]!;
    if (end - start !== 5 && end - start !== 6) return parseMode(this.raw(MODE), MODE);
    let mode = 0;
    for (let at = start; at < end; at++) {
      const digit = bytes[at]! - ZERO;
      if (digit < 0 || digit > 7) return parseMode(this.raw(MODE), MODE);
      mode = mode * 8 + digit;
    }
    return mode & 0xffff;
  }

  /** What is before the dot in MTIME. @throws DumpProblem */
  seconds(): bigint {
    const start = this.#starts[MTIME]!;
    const dot = dotIn(this.bytes, start, this.#ends[MTIME]!);
    const plain = plainNumber(this.bytes, start, dot);
    return plain >= 0 ? this.#bigints.get(plain) : BigInt.asIntN(64, parseNumber(this.slice(start, dot), MTIME));
  }

  /** What is behind it. @throws DumpProblem */
  nanoseconds(): number {
    const end = this.#ends[MTIME]!;
    return this.#low32(Math.min(dotIn(this.bytes, this.#starts[MTIME]!, end) + 1, end), end, MTIME);
  }

  #low32(start: number, end: number, field: number): number {
    const plain = plainNumber(this.bytes, start, end);
    return plain >= 0 ? plain % 2 ** 32 : Number(BigInt.asUintN(32, parseNumber(this.slice(start, end), field)));
  }
}

/** Where the dot in MTIME is; its end when there is none, so that the nanoseconds are no number. */
function dotIn(bytes: Uint8Array, start: number, end: number): number {
  for (let at = start; at < end; at++) if (bytes[at] === DOT) return at;
  return end;
}

/** A number of only digits, or -1. */
function plainNumber(bytes: Uint8Array, start: number, end: number): number {
  if (start >= end || end - start > SAFE_DIGITS) return -1;
  let value = 0;
  for (let at = start; at < end; at++) {
    const digit = bytes[at]! - ZERO;
    if (digit < 0 || digit > 9) return -1;
    value = value * 10 + digit;
  }
  return value;
}
