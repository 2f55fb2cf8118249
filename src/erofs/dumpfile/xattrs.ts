import type { ByteString } from '../../bytes.js';
import { NO_XATTRS, type Xattrs } from '../../tree/tree.js';
import { cString, unescapeField } from './escape.js';
import { DIGEST, XATTRS, type LineFields } from './fields.js';
import { DumpProblem } from './problem.js';

/** Bytes of xattrs the C library lets one line have: all of the text, and names, values and 7 bytes each. */
const TEXT_MAX = 65535;
const BYTES_MAX = 32767 - 12;

/** How many ends of lines are recognized by their bytes alone. */
const RECENT = 64;

/** Reads the ends of lines. Most lines end in one of a few sets of xattrs, which are read and kept once. */
export class XattrFields {
  readonly #known = new Map<ByteString, Xattrs>();
  /** Sets that were met lately, by the length of their text, and where that is. */
  readonly #recentStart = new Int32Array(RECENT);
  readonly #recentLength = new Int32Array(RECENT);
  readonly #recent = new Array<Xattrs>(RECENT).fill(NO_XATTRS);

  /** Forgets where something was. */
  startChunk(): void {
    this.#recentLength.fill(0);
  }

  /**
   * Reads what follows DIGEST.
   * @throws DumpProblem
   */
  read(fields: LineFields): Xattrs {
    const start = fields.start(DIGEST) + fields.length(DIGEST) + 1;
    const length = fields.end - start;
    if (length <= 0) return NO_XATTRS;
    const slot = length % RECENT;
    if (this.#recentLength[slot] === length && sameBytes(fields.bytes, this.#recentStart[slot]!, start, length))
      return this.#recent[slot]!;
    const text = fields.slice(start, fields.end);
    let xattrs = this.#known.get(text);
    if (xattrs === undefined) this.#known.set(text, (xattrs = parseXattrs(text)));
    this.#recentStart[slot] = start;
    this.#recentLength[slot] = length;
    this.#recent[slot] = xattrs;
    return xattrs;
  }
}

/** Whether there are the same bytes at two offsets. */
export function sameBytes(bytes: Uint8Array, one: number, other: number, length: number): boolean {
  for (let index = 0; index < length; index++) if (bytes[one + index] !== bytes[other + index]) return false;
  return true;
}

function parseXattrs(text: ByteString): Xattrs {
  const xattrs = new Map<ByteString, ByteString>();
  // One space may end the line.
  const fields = (text.endsWith(' ') ? text.slice(0, -1) : text).split(' ');
  for (const field of fields) {
    const equals = field.indexOf('=');
    if (equals < 0) throw new DumpProblem('Missing = in xattr', XATTRS);
    const key = cString(unescapeField(field.slice(0, equals), XATTRS));
    const value = unescapeField(field.slice(equals + 1), XATTRS);
    if (key === '' || key.length > 255) throw new DumpProblem(`Can't set xattr: a name of ${key.length} bytes`, XATTRS);
    xattrs.set(key, value);
  }
  let bytes = 0;
  for (const [key, value] of xattrs) bytes += 7 + key.length + value.length;
  if (text.length + 1 > TEXT_MAX || bytes > BYTES_MAX) throw new DumpProblem('Too many xattrs', XATTRS);
  return xattrs;
}
