import { JSON_DEPTH_LIMIT, LONG_STRING, MEMBER_NAME_LIMIT } from '../../limits.js';
import { RpcProtocolError } from '../rpc-error.js';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const COLON = 0x3a;
const COMMA = 0x2c;

/** JSON white space: space, tab, line feed, carriage return. */
export function isBlank(byte: number): boolean {
  return byte === 0x20 || byte === 0x09 || byte === 0x0a || byte === 0x0d;
}

/**
 * Finds where one JSON object ends while its bytes arrive in pieces, looking at each byte once. It only counts brackets
 * outside strings, and picks up which method is called: whether the bytes are JSON is decided by the parser that gets
 * them.
 */
export class JsonObjectScanner {
  /** What the object's own member `method` says, once that was seen, if it is written without escapes. */
  method: string | undefined;
  /** Whether the object has a member `jsonrpc`. */
  isJsonRpc = false;
  /** Strings of more than 64 KiB: how many, their bytes together, and those of the longest. */
  longCount = 0;
  longBytes = 0;
  longest = 0;
  #depth = 0;
  #inString = false;
  #escaped = false;
  #stringLength = 0;
  /** The string that is read, where it may be a name. */
  #text: string | undefined;
  #member: string | undefined;
  #afterColon = false;

  /** True between the first byte of an object and its last. */
  get inside(): boolean {
    return this.#depth > 0;
  }

  /** Forgets the object that was scanned last, or a part of it. */
  reset(): void {
    this.method = this.#text = this.#member = undefined;
    this.isJsonRpc = this.#inString = this.#escaped = this.#afterColon = false;
    this.longCount = this.longBytes = this.longest = this.#depth = this.#stringLength = 0;
  }

  /**
   * Goes on at `from`. A new object must begin there, if none is open.
   * @returns the index behind the object's last byte, or -1 when it goes on in the next piece
   * @throws RpcProtocolError FRAMING_ERROR when something else begins, or it nests too deep
   */
  scan(bytes: Uint8Array, from: number): number {
    if (this.#depth === 0) {
      if (bytes[from] !== OPEN_BRACE) throw new RpcProtocolError('FRAMING_ERROR', 'a message must be a JSON object');
      this.reset();
    }
    let depth = this.#depth;
    for (let i = from; i < bytes.length; i++) {
      if (this.#inString) {
        i = this.#string(bytes, i, depth);
        continue;
      }
      const byte = bytes[i]!;
      if (byte === QUOTE) {
        this.#inString = true;
        this.#stringLength = 0;
        this.#text = depth === 1 ? '' : undefined;
      } else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) {
        if (++depth > JSON_DEPTH_LIMIT)
          throw new RpcProtocolError('FRAMING_ERROR', `a message nests deeper than ${JSON_DEPTH_LIMIT}`);
        this.#afterColon = false;
      } else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) {
        if (--depth === 0) {
          this.#depth = 0;
          return i + 1;
        }
      } else if (depth === 1 && (byte === COLON || byte === COMMA)) {
        this.#afterColon = byte === COLON;
      }
    }
    this.#depth = depth;
    return -1;
  }

  /** Goes on in a string. @returns the index of its last byte here */
  #string(bytes: Uint8Array, from: number, depth: number): number {
    let i = from;
    for (; i < bytes.length; i++) {
      const byte = bytes[i]!;
      if (this.#escaped) this.#escaped = false;
      else if (byte === BACKSLASH) this.#escaped = true;
      else if (byte === QUOTE) break;
    }
    const ended = i < bytes.length;
    this.#count(i - from);
    if (this.#text !== undefined)
      this.#text =
        this.#stringLength > MEMBER_NAME_LIMIT
          ? undefined
          : this.#text + Buffer.from(bytes.buffer, bytes.byteOffset + from, i - from).toString('latin1');
    if (!ended) return i;
    this.#inString = false;
    if (depth === 1) this.#named();
    return i;
  }

  #count(bytes: number): void {
    const before = this.#stringLength;
    this.#stringLength += bytes;
    if (this.#stringLength <= LONG_STRING) return;
    const first = before <= LONG_STRING;
    if (first) this.longCount++;
    this.longBytes += first ? this.#stringLength : bytes;
    this.longest = Math.max(this.longest, this.#stringLength);
  }

  #named(): void {
    if (!this.#afterColon) {
      this.#member = this.#text;
      if (this.#text === 'jsonrpc') this.isJsonRpc = true;
    } else if (this.#member === 'method') {
      this.method ??= this.#text?.includes('\\') ? undefined : this.#text;
    }
    this.#afterColon = false;
  }
}
