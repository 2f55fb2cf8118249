// jsonrpc-fdpass framing, sending end. The format is that of the bootc-dev/jsonrpc-fdpass specification.
import { isErrno } from '../../fd/fd.js';
import type { Connection, Fd } from '../../fd/fd-passing.js';

/** Just below the kernel's 253; one more than this is what peers with the usual default of 500 arrive at. */
const FIRST_BATCH = 250;
const SPACE = Buffer.from(' ');

/**
 * Writes messages to a stream connection, whole and one after the other. The first descriptors leave with the JSON,
 * each further batch on a byte of white space.
 */
export class FdMessageWriter {
  readonly #connection: Connection;
  #batch = FIRST_BATCH;
  #turn: Promise<void> = Promise.resolve();

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /**
   * Resolves when the kernel has taken the message. `fds` are borrowed until then. A message that had begun when this
   * fails cannot be mended: the connection is of no more use.
   * @param message a JSON-RPC message without `fds`
   */
  async write(message: object, fds: readonly Fd[], signal?: AbortSignal): Promise<void> {
    const bytes = Buffer.from(JSON.stringify(fds.length > 0 ? { ...message, fds: fds.length } : message));
    const turn = this.#turn.then(() => this.#writeNow(bytes, fds, signal));
    this.#turn = turn.catch(() => {});
    await turn;
  }

  async #writeNow(bytes: Buffer, fds: readonly Fd[], signal: AbortSignal | undefined): Promise<void> {
    let next = await this.#sendBatch(bytes, fds, 0, signal);
    try {
      while (next < fds.length) next = await this.#sendBatch(SPACE, fds, next, signal);
    } catch (error) {
      this.#connection.close();
      throw error;
    }
  }

  /** Sends one batch, smaller ones as long as the kernel refuses their number; returns where the next begins. */
  async #sendBatch(bytes: Buffer, fds: readonly Fd[], from: number, signal: AbortSignal | undefined): Promise<number> {
    for (;;) {
      const batch = fds.slice(from, from + this.#batch);
      try {
        await this.#connection.send(bytes, batch, { signal });
        return from + batch.length;
      } catch (error) {
        if (!isErrno(error, 'EINVAL') || batch.length <= 1) throw error;
        this.#batch = Math.ceil(batch.length / 2);
      }
    }
  }
}
