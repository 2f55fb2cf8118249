// Varlink framing, receiving end: JSON objects that each end with a NUL byte. Descriptors follow the convention of
// sd-varlink: they are sent along with the first bytes of the message they belong to.
import { MAX_FDS_PER_SEND, type Connection, type Fd } from '../../fd/fd-passing.js';
import { MESSAGE_LIMIT } from '../../limits.js';
import { IncomingMessage, type CallLimits, type MessageShare } from '../jsonrpc/incoming-message.js';
import { isBlank } from '../jsonrpc/json-scanner.js';
import type { RpcProtocolErrorCode } from '../../error-codes.js';
import { RpcProtocolError } from '../rpc-error.js';
import type { Parameters } from './varlink-error.js';

export interface VarlinkLimits {
  /** Longest message in bytes, without its NUL. Default: 64 MiB. */
  maxMessage?: number;
  /** Most descriptors of one message. Default: 253, what one sendmsg carries. */
  maxFds?: number;
  /** What bounds calls besides, where many peers make them. */
  calls?: CallLimits | undefined;
}

/** One message with the descriptors that came with it. The receiver owns them. */
export interface VarlinkMessage {
  value: Parameters;
  fds: Fd[];
}

const NOTHING = Buffer.alloc(0);

/** Reads messages from a stream connection. After an error, or when disposed, it holds no descriptor any more. */
export class VarlinkReader implements Disposable {
  readonly #connection: Connection;
  readonly #share: MessageShare | undefined;
  readonly #maxFds: number;
  /** The message that has begun. */
  readonly #message: IncomingMessage;
  /** Whether the object in it is complete, and only its NUL byte is due. */
  #complete = false;
  /** Received and not looked at yet. */
  #bytes: Buffer = NOTHING;
  /** Received before `#bytes` on this connection. */
  #offset = 0;
  /** Descriptors in order of arrival, with the position of the last byte they came with. */
  #arrived: { at: number; fds: Fd[] }[] = [];
  /** Descriptors of the last message that was handed out. */
  #handedOut = 0;

  constructor(connection: Connection, limits: VarlinkLimits = {}) {
    this.#connection = connection;
    this.#share = limits.calls?.share;
    this.#message = new IncomingMessage(limits.maxMessage ?? MESSAGE_LIMIT, limits.calls, (error) =>
      connection.end(error),
    );
    this.#maxFds = limits.maxFds ?? MAX_FDS_PER_SEND;
  }

  /** Whether bytes are there that belong to no message that was handed out. */
  get begun(): boolean {
    return this.#bytes.length > 0 || this.#message.length > 0;
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
        const { length } = this.#message;
        if (length > 0) throw this.#error('UNEXPECTED_END', `the data ends after ${length} bytes of a message`);
        return false;
      }
      this.#bytes = segment.bytes;
      // The kernel may put bytes without descriptors in front of those that have some, but ends the segment behind
      // them. So they belong to the message that has the segment's last byte, whatever else the segment holds.
      if (segment.fds.length > 0) this.#arrived.push({ at: this.#offset + segment.bytes.length - 1, fds: segment.fds });
      // The call before is still being answered while this one is read ahead.
      this.#share?.received(this.#handedOut + this.#arrived.reduce((sum, { fds }) => sum + fds.length, 0));
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
    this.#add(piece);
    const consumed = end < 0 ? piece.length : piece.length + 1;
    this.#bytes = this.#bytes.subarray(consumed);
    this.#offset += consumed;
    this.#limitFds();
    if (end < 0) return undefined;
    const value = this.#parse();
    const fds = this.#takeFds();
    this.#handedOut = fds.length;
    return { value, fds };
  }

  #limitFds(): void {
    let count = 0;
    for (const { at, fds } of this.#arrived) if (at < this.#offset) count += fds.length;
    if (count > this.#maxFds)
      throw this.#error('TOO_MANY_FDS', `${count} descriptors arrived with one message, the limit is ${this.#maxFds}`);
  }

  #takeFds(): Fd[] {
    const fds: Fd[] = [];
    for (let next = this.#arrived[0]; next !== undefined && next.at < this.#offset; next = this.#arrived[0]) {
      this.#arrived.shift();
      fds.push(...next.fds);
    }
    return fds;
  }

  #add(piece: Buffer): void {
    const { scanner } = this.#message;
    let start = 0;
    // White space around the object is its parser's business, and what follows it.
    while (!scanner.inside && !this.#complete && start < piece.length && isBlank(piece[start]!)) start++;
    try {
      if (!this.#complete && start < piece.length) this.#complete = scanner.scan(piece, start) >= 0;
      this.#message.add(piece);
    } catch (error) {
      throw error instanceof RpcProtocolError ? this.#error(error.code, error.reason) : error;
    }
  }

  #parse(): Parameters {
    this.#complete = false;
    try {
      return this.#message.take();
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
    this.#message[Symbol.dispose]();
  }
}
