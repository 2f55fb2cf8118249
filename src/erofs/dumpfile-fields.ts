import type { ByteString } from '../bytes.js';
import { parseMode, parseNumber } from './dumpfile-numbers.js';

const SPACE = 0x20;
const DOT = 0x2e;
const ZERO = 0x30;
/** As many digits fit a number exactly. */
const SAFE_DIGITS = 15;

/**
 * The fields of one line after the other, without a list of them. Missing ones are empty, as for the C library. Plain
 * numbers, which nearly all are, are read in place.
 */
export class LineFields {
  private text: ByteString = '';
  private at = 0;
  private end = 0;

  /** Turns to the line from `start` to `end` of `text`. */
  start(text: ByteString, start: number, end: number): void {
    this.text = text;
    this.at = start;
    this.end = end;
  }

  next(): ByteString {
    const { text, at, end } = this;
    if (at >= end) return '';
    const space = text.indexOf(' ', at);
    const stop = space < 0 || space > end ? end : space;
    this.at = stop + 1;
    return text.slice(at, stop);
  }

  skip(): void {
    const space = this.text.indexOf(' ', this.at);
    this.at = space < 0 || space > this.end ? this.end : space + 1;
  }

  /** Whether the next field starts with this character. */
  startsWith(code: number): boolean {
    return this.at < this.end && this.text.charCodeAt(this.at) === code;
  }

  /** Everything that is left. */
  rest(): ByteString {
    const { at, end } = this;
    this.at = end;
    return at >= end ? '' : this.text.slice(at, end);
  }

  /** 0..2^64-1. @throws FormatError DUMPFILE */
  number64(): bigint {
    const plain = this.digits(SPACE);
    return plain >= 0 ? BigInt(plain) : parseNumber(this.next());
  }

  /** The low 32 bits. @throws FormatError DUMPFILE */
  number32(): number {
    const plain = this.digits(SPACE);
    return plain >= 0 ? plain % 2 ** 32 : Number(BigInt.asUintN(32, parseNumber(this.next())));
  }

  /** Octal, the low 16 bits. @throws FormatError DUMPFILE */
  mode(): number {
    return parseMode(this.next());
  }

  /** Seconds, up to the dot. @throws FormatError DUMPFILE */
  seconds(): bigint {
    const plain = this.digits(DOT);
    if (plain >= 0) return BigInt(plain);
    const { text, at, end } = this;
    const dot = text.indexOf('.', at);
    const space = text.indexOf(' ', at);
    const stop = Math.min(dot < 0 ? end : dot, space < 0 ? end : space, end);
    this.at = stop + 1;
    return BigInt.asIntN(64, parseNumber(text.slice(at, dot === stop ? stop : at)));
  }

  /** A number of digits that ends in `delimiter` or with the line, or -1 and nothing is read. */
  private digits(delimiter: number): number {
    const { text, at: start, end } = this;
    const limit = Math.min(end, start + SAFE_DIGITS);
    let at = start;
    let value = 0;
    for (; at < limit; at += 1) {
      const digit = text.charCodeAt(at) - ZERO;
      if (digit < 0 || digit > 9) break;
      value = value * 10 + digit;
    }
    if (at === start || (at === end ? delimiter === DOT : text.charCodeAt(at) !== delimiter)) return -1;
    this.at = at + 1;
    return value;
  }
}
