import { BridgeError } from '../errors.js';
import type { Connection } from '../fd/fd-passing.js';
import { pause } from '../fd/readiness.js';
import { FILE_REPLY_DESCRIPTORS } from './file-reply.js';
import type { ClientShare } from './shares.js';

const FIRST_PAUSE = 1;
const LONGEST_PAUSE = 200;

/**
 * The answers of one connection that have a descriptor for each file. One that was sent is the client's to read: until
 * it has, the kernel keeps its descriptors, and with them the temporary file, so it counts, and the next is not begun.
 */
export class FileReplies implements Disposable {
  readonly #connection: Connection;
  readonly #share: ClientShare;
  readonly #signal: AbortSignal;
  #last: Disposable | undefined;

  constructor(connection: Connection, share: ClientShare, signal: AbortSignal) {
    this.#connection = connection;
    this.#share = share;
    this.#signal = signal;
  }

  /**
   * Makes an answer once the one before has been read.
   * @throws BridgeError `UNREAD`, `TOO_MANY_ANSWERS`, `TOO_MANY_DESCRIPTORS`
   */
  async next<T>(answer: () => Promise<T>): Promise<T> {
    await this.#read();
    this[Symbol.dispose]();
    this.#last = this.#share.fileAnswer(FILE_REPLY_DESCRIPTORS);
    return await answer();
  }

  async #read(): Promise<void> {
    const { unread } = this.#share.limits;
    const deadline = performance.now() + unread;
    for (
      let delay = FIRST_PAUSE;
      this.#last !== undefined && this.#connection.unread > 0;
      delay = Math.min(2 * delay, LONGEST_PAUSE)
    ) {
      if (performance.now() > deadline) {
        const error = new BridgeError('UNREAD', `the client did not read an answer for ${unread / 1000} s`);
        this.#connection.end(error);
        throw error;
      }
      await pause(delay, this.#signal);
    }
  }

  [Symbol.dispose](): void {
    this.#last?.[Symbol.dispose]();
    this.#last = undefined;
  }
}
