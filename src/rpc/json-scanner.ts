import { RpcProtocolError } from './rpc-error.js';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;

/** No message of these protocols nests deeper than a handful; a parser fed deeper input only burns time. */
const MAX_DEPTH = 128;

/** JSON white space: space, tab, line feed, carriage return. */
export function isBlank(byte: number): boolean {
  return byte === 0x20 || byte === 0x09 || byte === 0x0a || byte === 0x0d;
}

/**
 * Finds where one JSON object ends while its bytes arrive in pieces, looking at each byte once. It only counts brackets
 * outside strings: whether the bytes are JSON is decided by the parser that gets them.
 */
export class JsonObjectScanner {
  #depth = 0;
  #inString = false;
  #escaped = false;

  /** True between the first byte of an object and its last. */
  get inside(): boolean {
    return this.#depth > 0;
  }

  /**
   * Goes on at `from`. A new object must begin there, if none is open.
   * @returns the index behind the object's last byte, or -1 when it goes on in the next piece
   * @throws RpcProtocolError FRAMING_ERROR when something else begins, or it nests too deep
   */
  scan(bytes: Uint8Array, from: number): number {
    let depth = this.#depth;
    if (depth === 0 && bytes[from] !== OPEN_BRACE)
      throw new RpcProtocolError('FRAMING_ERROR', 'a message must be a JSON object');
    let inString = this.#inString;
    let escaped = this.#escaped;
    for (let i = from; i < bytes.length; i++) {
      const byte = bytes[i]!;
      if (inString) {
        if (escaped) escaped = false;
        else if (byte === BACKSLASH) escaped = true;
        else if (byte === QUOTE) inString = false;
      } else if (byte === QUOTE) {
        inString = true;
      } else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) {
        if (++depth > MAX_DEPTH) throw new RpcProtocolError('FRAMING_ERROR', `a message nests deeper than ${MAX_DEPTH}`);
      } else if ((byte === CLOSE_BRACE || byte === CLOSE_BRACKET) && --depth === 0) {
        this.#depth = 0;
        this.#inString = false;
        return i + 1;
      }
    }
    this.#depth = depth;
    this.#inString = inString;
    this.#escaped = escaped;
    return -1;
  }
}
