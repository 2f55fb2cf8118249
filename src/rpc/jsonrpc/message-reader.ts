// jsonrpc-fdpass framing, receiving end: JSON objects back to back, each with a count of the descriptors that belong to
// it. The format is that of the bootc-dev/jsonrpc-fdpass specification.
import * as z from 'zod';
import { MAX_FDS_PER_SEND, type Connection, type Fd } from '../../fd/fd-passing.js';
import { MESSAGE_FDS_LIMIT, MESSAGE_LIMIT } from '../../limits.js';
import { IncomingMessage, type CallLimits, type MessageShare } from './incoming-message.js';
import { isBlank } from './json-scanner.js';
import type { RpcProtocolErrorCode } from '../../error-codes.js';
import { RpcProtocolError } from '../rpc-error.js';

export interface MessageLimits {
  /** Longest message in bytes. Default: 64 MiB. */
  maxMessage?: number;
  /** Most descriptors of one message. Default: 1048576, the kernel's own bound for a process. */
  maxFds?: number;
  /** What bounds calls besides, where many peers make them. */
  calls?: CallLimits | undefined;
}

/** One message with the descriptors it announced. The receiver owns them. */
export interface FdMessage {
  value: Record<string, unknown>;
  fds: Fd[];
}

const NOTHING = Buffer.alloc(0);

/** Reads messages from a stream connection. After an error, or when disposed, it holds no descriptor any more. */
export class FdMessageReader implements Disposable {
  readonly #connection: Connection;
  readonly #share: MessageShare | undefined;
  readonly #fdCount: z.ZodType<number>;
  readonly #maxFds: number;
  /** The message that has begun. */
  readonly #message: IncomingMessage;
  /** Received and not looked at yet. */
  #bytes: Buffer = NOTHING;
  /** Received before `#bytes` on this connection. */
  #offset = 0;
  #fds: Fd[] = [];
  /** A message that waits for descriptors, and for how many in all. */
  #pending: { value: Record<string, unknown>; count: number } | undefined;

  constructor(connection: Connection, limits: MessageLimits = {}) {
    this.#connection = connection;
    this.#share = limits.calls?.share;
    this.#message = new IncomingMessage(limits.maxMessage ?? MESSAGE_LIMIT, limits.calls, (error) =>
      connection.end(error),
    );
    this.#maxFds = limits.maxFds ?? MESSAGE_FDS_LIMIT;
    this.#fdCount = z.int().min(0).max(this.#maxFds).default(0);
  }

  /**
   * The next message, or undefined at the end of data between messages. An aborted wait loses nothing: the next
   * call goes on where it stopped.
   * @throws RpcProtocolError or SocketError, after which the connection is of no more use
   */
  async next(signal?: AbortSignal): Promise<FdMessage | undefined> {
    for (;;) {
      try {
        const message = this.#take();
        if (message) return message;
      } catch (error) {
        this[Symbol.dispose]();
        throw error;
      }
      const segment = await this.#receive(signal);
      if (!segment) return undefined;
      this.#bytes = segment.bytes;
      for (const fd of segment.fds) this.#fds.push(fd);
      this.#countFds();
    }
  }

  #countFds(): void {
    try {
      this.#share?.received(this.#fds.length);
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  async #receive(signal: AbortSignal | undefined): ReturnType<Connection['receive']> {
    try {
      const segment = await this.#connection.receive({ signal });
      if (segment) return segment;
    } catch (error) {
      if (!signal?.aborted) this[Symbol.dispose]();
      throw error;
    }
    const { inside } = this.#message.scanner;
    const { length } = this.#message;
    const missing = this.#pending ? this.#pending.count - this.#fds.length : 0;
    const left = this.#fds.length;
    this[Symbol.dispose]();
    if (inside) throw this.#error('UNEXPECTED_END', `the data ends after ${length} bytes of a message`);
    if (missing > 0) throw this.#error('MISMATCHED_COUNT', `the data ends with ${missing} descriptors missing`);
    if (left > 0)
      throw this.#error('MISMATCHED_COUNT', `the data ends with ${left} descriptors that belong to no message`);
    return undefined;
  }

  /** Consumes what is there, up to the end of one message. */
  #take(): FdMessage | undefined {
    // The last bytes of one message may arrive with the first descriptors of the next.
    if (this.#fds.length > this.#maxFds + MAX_FDS_PER_SEND)
      throw this.#error('TOO_MANY_FDS', `${this.#fds.length} descriptors arrived for one message`);
    if (this.#pending) {
      this.#expectOnlyBlanks();
      return this.#complete(this.#pending);
    }
    if (!this.#message.scanner.inside) this.#skipBlanks();
    if (this.#bytes.length === 0) return undefined;
    const end = this.#scan();
    const piece = end < 0 ? this.#bytes : this.#bytes.subarray(0, end);
    this.#add(piece);
    this.#consume(piece.length);
    if (end < 0) return undefined;
    const value = this.#parse();
    const count = this.#fdCount.safeParse(value['fds']);
    if (!count.success) throw this.#error('INVALID_FD_COUNT', `"fds" is ${JSON.stringify(value['fds'])}`);
    return this.#complete((this.#pending = { value, count: count.data }));
  }

  #complete(pending: { value: Record<string, unknown>; count: number }): FdMessage | undefined {
    if (this.#fds.length < pending.count) {
      this.#expectOnlyBlanks();
      this.#message.begin();
      return undefined;
    }
    this.#pending = undefined;
    this.#message[Symbol.dispose]();
    return { value: pending.value, fds: this.#fds.splice(0, pending.count) };
  }

  /**
   * Descriptors a message still misses come with white space. A receive ends where a segment with descriptors ends, so
   * the next message cannot begin behind them in the same bytes.
   */
  #expectOnlyBlanks(): void {
    this.#skipBlanks();
    if (this.#bytes.length > 0) throw this.#error('MISMATCHED_COUNT', 'other bytes follow where descriptors are due');
  }

  #scan(): number {
    try {
      return this.#message.scanner.scan(this.#bytes, 0);
    } catch (error) {
      throw this.#error('FRAMING_ERROR', (error as Error).message);
    }
  }

  #add(piece: Buffer): void {
    try {
      this.#message.add(piece);
    } catch (error) {
      throw error instanceof RpcProtocolError ? this.#error(error.code, error.reason) : error;
    }
  }

  #parse(): Record<string, unknown> {
    try {
      return this.#message.take();
    } catch (cause) {
      throw this.#error('FRAMING_ERROR', 'a message is not JSON', { cause });
    }
  }

  #skipBlanks(): void {
    let start = 0;
    while (start < this.#bytes.length && isBlank(this.#bytes[start]!)) start++;
    this.#consume(start);
  }

  #consume(length: number): void {
    this.#bytes = this.#bytes.subarray(length);
    this.#offset += length;
  }

  #error(code: RpcProtocolErrorCode, message: string, options: ErrorOptions = {}): RpcProtocolError {
    return new RpcProtocolError(code, message, { ...options, place: { offset: this.#offset } });
  }

  /** Closes descriptors that belong to no message that was handed out. */
  [Symbol.dispose](): void {
    for (const fd of this.#fds) fd.close();
    this.#fds = [];
    this.#message[Symbol.dispose]();
  }
}
