// Varlink framing, receiving end: JSON objects that each end with a NUL byte. Descriptors follow the convention of sd-varlink:
// they are sent along with the first bytes of the message they belong to.
import * as z from 'zod';
import { MAX_FDS_PER_SEND, type Connection, type Fd } from '../../fd/fd-passing.js';
import { isBlank, JsonObjectScanner } from '../json-scanner.js';
import { RpcProtocolError, type RpcProtocolErrorCode } from '../rpc-error.js';
import type { Parameters } from './varlink-error.js';

export interface VarlinkLimits {
  /** Longest message in bytes, without its NUL. Default: 64 MiB. */
  maxMessage?: number;
  /** Most descriptors of one message. Default: 253, what one sendmsg carries. */
  maxFds?: number;
}

/** One message with the descriptors that came with it. The receiver owns them. */
export interface VarlinkMessage {
  value: Parameters;
  fds: Fd[];
}

const DEFAULT_MAX_MESSAGE = 64 * 1024 * 1024;
const NOTHING = Buffer.alloc(0);
const jsonObject = z.record(z.string(), z.unknown());

/** Reads messages from a stream connection. After an error, or when disposed, it holds no descriptor any more. */
export class VarlinkReader implements Disposable {
  readonly #connection: Connection;
  readonly #maxMessage: number;
  readonly #maxFds: number;
  readonly #decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  /** Pieces of the message that has begun. */
  #pieces: Buffer[] = [];
  #length = 0;
  /** Received and not looked at yet. */
  #bytes: Buffer = NOTHING;
  /** Received before `#bytes` on this connection. */
  #offset = 0;
  /** Descriptors in order of arrival, with the position of the last byte they came with. */
  #arrived: { at: number; fds: Fd[] }[] = [];

  constructor(connection: Connection, limits: VarlinkLimits = {}) {
    this.#connection = connection;
    this.#maxMessage = limits.maxMessage ?? DEFAULT_MAX_MESSAGE;
    this.#maxFds = limits.maxFds ?? MAX_FDS_PER_SEND;
  }

  /** Whether bytes are there that belong to no message that was handed out. */
  get begun(): boolean {
    return this.#bytes.length > 0 || this.#length > 0;
  }

  /**
   * The next message, or undefined at the end of data between messages. An aborted wait loses nothing: the next
   * call goes on where it stopped.
   * @throws RpcProtocolError or SocketError, after which the connection is of no more use
   */
  async next(signal?: AbortSignal): Promise<VarlinkMessage | undefined> {
    for (;;) {
      try {
        const message = this.#take();
        if (message) return message;
      } catch (error) {
        this[Symbol.dispose]();
        throw error;
      }
      if (!(await this.#receive(signal))) return undefined;
    }
  }

  /** @returns false at the end of data */
  async #receive(signal: AbortSignal | undefined): Promise<boolean> {
    try {
      const segment = await this.#connection.receive({ signal });
      if (segment === undefined) {
        if (this.#length > 0) throw this.#error('UNEXPECTED_END', `the data ends after ${this.#length} bytes of a message`);
        return false;
      }
      this.#bytes = segment.bytes;
      // The kernel may put bytes without descriptors in front of those that have some, but ends the segment behind them. So
      // they belong to the message that has the segment's last byte, whatever else the segment holds.
      if (segment.fds.length > 0) this.#arrived.push({ at: this.#offset + segment.bytes.length - 1, fds: segment.fds });
      return true;
    } catch (error) {
      if (!signal?.aborted) this[Symbol.dispose]();
      throw error;
    }
  }

  /** Consumes what is there, up to the end of one message. */
  #take(): VarlinkMessage | undefined {
    if (this.#bytes.length === 0) return undefined;
    const end = this.#bytes.indexOf(0);
    const piece = end < 0 ? this.#bytes : this.#bytes.subarray(0, end);
    this.#length += piece.length;
    if (this.#length > this.#maxMessage) throw this.#error('MESSAGE_TOO_LARGE', `a message is longer than ${this.#maxMessage} bytes`);
    this.#pieces.push(piece);
    const consumed = end < 0 ? piece.length : piece.length + 1;
    this.#bytes = this.#bytes.subarray(consumed);
    this.#offset += consumed;
    this.#limitFds();
    if (end < 0) return undefined;
    return { value: this.#parse(), fds: this.#takeFds() };
  }

  #limitFds(): void {
    let count = 0;
    for (const { at, fds } of this.#arrived) if (at < this.#offset) count += fds.length;
    if (count > this.#maxFds) throw this.#error('TOO_MANY_FDS', `${count} descriptors arrived with one message, the limit is ${this.#maxFds}`);
  }

  #takeFds(): Fd[] {
    const fds: Fd[] = [];
    while (this.#arrived[0] !== undefined && this.#arrived[0].at < this.#offset) fds.push(...this.#arrived.shift()!.fds);
    return fds;
  }

  #parse(): Parameters {
    const bytes = this.#pieces.length === 1 ? this.#pieces[0]! : Buffer.concat(this.#pieces, this.#length);
    this.#pieces = [];
    this.#length = 0;
    try {
      // Bounds the depth before a parser sees it.
      new JsonObjectScanner().scan(bytes, Math.max(0, bytes.findIndex((byte) => !isBlank(byte))));
      return jsonObject.parse(JSON.parse(this.#decoder.decode(bytes)));
    } catch (cause) {
      throw this.#error('FRAMING_ERROR', 'a message is not a JSON object', { cause });
    }
  }

  #error(code: RpcProtocolErrorCode, message: string, options: ErrorOptions = {}): RpcProtocolError {
    return new RpcProtocolError(code, message, { ...options, place: { offset: this.#offset } });
  }

  /** Closes descriptors that belong to no message that was handed out. */
  [Symbol.dispose](): void {
    for (const { fds } of this.#arrived.splice(0)) for (const fd of fds) fd.close();
  }
}
