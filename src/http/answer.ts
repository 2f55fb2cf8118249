import { cancelOn, forget, type Cancellable } from './cancellation.js';
import { DISCARD_LIMIT } from '../limits.js';
import type { Dispatcher } from './quiet-undici.js';

/** So many bytes of a body may wait to be read, and a piece more; the connection holds the rest. */
const HIGH_WATER = 64 << 10;
const UNREAD = new Error('the rest of the body is not read');

/**
 * One request under way and what is answered. A pull of a commit makes tens of thousands of them: no stream is made for
 * a body, and what waits for it is one promise.
 */
export class Answer implements Dispatcher.DispatchHandler, Cancellable {
  status = 0;
  headers: Readonly<Record<string, string | string[] | undefined>> = {};
  #controller: Dispatcher.DispatchController | undefined;
  /** What came of the body and was not read yet. */
  #pieces: Buffer[] = [];
  #waiting = 0;
  /** How many bytes may wait before no more are let in. */
  #room = HIGH_WATER;
  /** Nobody reads the body any more; bytes of it that came since. */
  #discarded: number | undefined;
  #ended = false;
  #failure: { readonly error: Error } | undefined;
  /** Whoever waits for the head, more of the body, or its end. */
  #wake: (() => void) | undefined;
  readonly #signal: AbortSignal | undefined;

  /** @throws what went wrong, of undici or as the signal's reason, before there was an answer */
  static async to(
    dispatcher: Dispatcher,
    request: Dispatcher.DispatchOptions,
    signal: AbortSignal | undefined,
  ): Promise<Answer> {
    signal?.throwIfAborted();
    const answer = new Answer(signal);
    dispatcher.dispatch(request, answer);
    while (answer.status < 200) {
      if (answer.#failure !== undefined) throw answer.#failure.error;
      await answer.#change();
    }
    return answer;
  }

  private constructor(signal: AbortSignal | undefined) {
    this.#signal = signal;
    if (signal !== undefined) cancelOn(signal, this);
  }

  /** Reads the body; leaving off closes the connection. @throws what went wrong, behind all that came before it */
  async *pieces(): AsyncGenerator<Buffer, void, void> {
    try {
      for (;;) {
        const piece = this.#pieces.shift();
        if (piece !== undefined) {
          this.#waiting -= piece.length;
          if (this.#waiting < this.#room) this.#controller?.resume();
          yield piece;
        } else if (this.#failure !== undefined) {
          throw this.#failure.error;
        } else if (this.#ended) {
          return;
        } else {
          await this.#change();
        }
      }
    } finally {
      this.abort(UNREAD);
    }
  }

  /**
   * Waits for all of the body, however long.
   * @returns undefined when something goes wrong: `pieces` has what came before that, and throws it
   */
  async whole(): Promise<Buffer | undefined> {
    this.#room = Infinity;
    this.#controller?.resume();
    while (!this.#ended) {
      if (this.#failure !== undefined) return undefined;
      await this.#change();
    }
    const [first, ...others] = this.#pieces;
    this.#pieces = [];
    if (first === undefined) return Buffer.alloc(0);
    return others.length === 0 ? first : Buffer.concat([first, ...others], this.#waiting);
  }

  /** Makes the connection free for the next request, or closes it when too much would come. @param length if known */
  async discard(length: number | undefined): Promise<void> {
    this.#discarded = 0;
    this.#pieces = [];
    if (length !== undefined && length > DISCARD_LIMIT) this.abort(UNREAD);
    this.#controller?.resume();
    while (!this.#ended && this.#failure === undefined) await this.#change();
  }

  /** Closes the connection, unless all has come. */
  abort(reason: Error): void {
    if (this.#ended || this.#failure !== undefined) return;
    this.#controller?.abort(reason);
    this.#fail(reason);
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#failure !== undefined) controller.abort(this.#failure.error);
  }

  onResponseStart(_controller: Dispatcher.DispatchController, status: number, headers: Answer['headers']): void {
    // Early hints and the like.
    if (status < 200) return;
    this.status = status;
    this.headers = headers;
    this.#changed();
  }

  onResponseData(controller: Dispatcher.DispatchController, piece: Buffer): void {
    if (this.#discarded !== undefined) {
      this.#discarded += piece.length;
      if (this.#discarded > DISCARD_LIMIT) this.abort(UNREAD);
      return;
    }
    this.#pieces.push(piece);
    this.#waiting += piece.length;
    if (this.#waiting >= this.#room) controller.pause();
    if (this.#room !== Infinity) this.#changed();
  }

  onResponseEnd(): void {
    this.#ended = true;
    this.#settled();
    this.#changed();
  }

  onResponseError(_controller: unknown, error: Error): void {
    this.#fail(error);
  }

  /** Closes the connection because nobody wants the answer any more. */
  cancel(reason: Error): void {
    // What came is not wanted, either.
    this.#pieces = [];
    this.abort(reason);
  }

  #fail(error: Error): void {
    if (this.#ended || this.#failure !== undefined) return;
    this.#failure = { error };
    this.#settled();
    this.#changed();
  }

  #settled(): void {
    if (this.#signal !== undefined) forget(this.#signal, this);
  }

  #change(): Promise<void> {
    return new Promise((resolve) => {
      const before = this.#wake;
      this.#wake = () => {
        before?.();
        resolve();
      };
    });
  }

  #changed(): void {
    this.#wake?.();
    this.#wake = undefined;
  }
}
