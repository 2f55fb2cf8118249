import * as z from 'zod';
import { REQUEST_LIMIT, UNKNOWN_CALL_LIMIT } from '../../limits.js';
import { JsonObjectScanner } from './json-scanner.js';
import { RpcProtocolError } from '../rpc-error.js';

/** Somebody who counts what unfinished messages take, for all connections of a server. */
export interface MessageShare {
  /**
   * The message that has begun takes so many bytes now; 0 when it is done.
   * @throws RpcProtocolError TOO_MUCH_UNFINISHED
   */
  unfinished(bytes: number): void;
  /** So many descriptors have come with calls that are not answered yet. @throws BridgeError `TOO_MANY_DESCRIPTORS` */
  received(count: number): void;
}

/** What bounds the messages of a peer that calls, beside `maxMessage`. */
export interface CallLimits {
  share: MessageShare;
  /** Milliseconds a message may take from its first byte to its last. */
  time: number;
  /** By qualified method: longest strings beyond the call's other bytes, in number and bytes as JSON. */
  longStrings?: ReadonlyMap<string, { count: number; bytes: number }>;
}

/** What serving a peer is bounded by. */
export interface ServingLimits {
  calls: CallLimits;
  /** Milliseconds an answer may go unread. */
  unread: number;
}

const NO_LONG_STRINGS = { count: 0, bytes: 0 };
const FIRST_SIZE = 1024;
const NOTHING = Buffer.alloc(0);
const jsonObject = z.record(z.string(), z.unknown());

/**
 * The bytes of one message after the other while they arrive: copied into a buffer that grows with them, so that a
 * message in tiny pieces costs no more than a whole one, scanned once and parsed once.
 */
export class IncomingMessage implements Disposable {
  readonly scanner = new JsonObjectScanner();
  readonly #maxMessage: number;
  readonly #calls: CallLimits | undefined;
  readonly #decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  #bytes: Buffer = NOTHING;
  #length = 0;
  readonly #late: (error: RpcProtocolError) => void;
  #timer: NodeJS.Timeout | undefined;

  /** @param late called when a message that has begun takes too long */
  constructor(maxMessage: number, calls: CallLimits | undefined, late: (error: RpcProtocolError) => void) {
    this.#maxMessage = maxMessage;
    this.#calls = calls;
    this.#late = late;
  }

  get length(): number {
    return this.#length;
  }

  /** Adds bytes, which have been scanned. @throws RpcProtocolError MESSAGE_TOO_LARGE, TOO_MUCH_UNFINISHED */
  add(piece: Buffer): void {
    const length = this.#length + piece.length;
    if (length > this.#maxMessage)
      throw new RpcProtocolError('MESSAGE_TOO_LARGE', `a message is longer than ${this.#maxMessage} bytes`);
    if (this.#calls !== undefined) this.#checkCall(this.#calls, length);
    if (length > this.#bytes.length) {
      const larger = Buffer.allocUnsafeSlow(
        Math.min(Math.max(FIRST_SIZE, 2 * length), Math.max(this.#maxMessage, length)),
      );
      larger.set(this.#bytes.subarray(0, this.#length));
      this.#bytes = larger;
    }
    this.#bytes.set(piece, this.#length);
    this.#length = length;
  }

  /** The message is complete: begins anew. @throws when it is no JSON object */
  take(): Record<string, unknown> {
    const bytes = this.#bytes.subarray(0, this.#length);
    this[Symbol.dispose]();
    return jsonObject.parse(JSON.parse(this.#decoder.decode(bytes)));
  }

  #checkCall({ share, longStrings }: CallLimits, length: number): void {
    const { method, longBytes, longCount, longest } = this.scanner;
    const allowed = (method === undefined ? undefined : longStrings?.get(method)) ?? NO_LONG_STRINGS;
    const limit = method === undefined ? UNKNOWN_CALL_LIMIT : REQUEST_LIMIT;
    const others = length - (allowed.count > 0 ? longBytes : 0);
    if (others > limit)
      throw new RpcProtocolError(
        'MESSAGE_TOO_LARGE',
        method === undefined
          ? `no method is named in the first ${limit} bytes of a call`
          : `a call is longer than ${limit} bytes`,
      );
    if (allowed.count > 0 && (longCount > allowed.count || longest > allowed.bytes))
      throw new RpcProtocolError(
        'MESSAGE_TOO_LARGE',
        `a call has more or longer strings than ${allowed.count} of ${allowed.bytes} bytes`,
      );
    share.unfinished(length);
    this.begin();
  }

  /** From now on the message must be complete in time. */
  begin(): void {
    if (this.#calls === undefined || this.#timer !== undefined) return;
    const { time } = this.#calls;
    this.#timer = setTimeout(
      () => this.#late(new RpcProtocolError('MESSAGE_TIMEOUT', `a call was not complete after ${time / 1000} s`)),
      time,
    );
    this.#timer.unref();
  }

  /** Gives the memory back. */
  [Symbol.dispose](): void {
    this.#bytes = NOTHING;
    this.#length = 0;
    this.scanner.reset();
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#calls?.share.unfinished(0);
  }
}
