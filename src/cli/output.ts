import { once } from 'node:events';
import { isErrno } from '../fd/fd.js';

/** Small pieces are written together up to this many bytes. */
const GATHER = 256 << 10;

/** Standard output of a command. Writing waits for the reader, and stops when the signal aborts. */
export class Output {
  readonly #stream: NodeJS.WriteStream & { fd: number };
  readonly #signal: AbortSignal;

  constructor(stream: NodeJS.WriteStream & { fd: number }, signal: AbortSignal) {
    this.#stream = stream;
    this.#signal = signal;
  }

  get isTerminal(): boolean {
    return this.#stream.isTTY === true;
  }

  /** Writes one line of text. */
  line(text: string): Promise<void> {
    return this.write(`${text}\n`);
  }

  /** Writes a value as JSON with two spaces of indentation, the way cfsctl prints it. */
  json(value: unknown): Promise<void> {
    return this.line(JSON.stringify(value, null, 2));
  }

  async write(data: string | Uint8Array): Promise<void> {
    this.#signal.throwIfAborted();
    if (!this.#stream.write(data)) await once(this.#stream, 'drain', { signal: this.#signal });
  }

  /** Lets `write` write to the descriptor, where nothing else may be written meanwhile. */
  async direct(write: (fd: number) => Promise<void>): Promise<void> {
    try {
      await write(this.#stream.fd);
    } catch (error) {
      // Whoever listens aborts the signal.
      if (isErrno(error, 'EPIPE')) this.#stream.emit('error', error);
      this.#signal.throwIfAborted();
      throw error;
    }
  }

  /**
   * Writes all pieces, a few hundred small ones at a time. A piece is read before the next one is asked for, so its
   * producer may use its buffer again.
   */
  async pipe(pieces: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<void> {
    let gathered = Buffer.allocUnsafe(GATHER);
    let length = 0;
    for await (const piece of pieces) {
      if (length + piece.length > GATHER) {
        await this.write(gathered.subarray(0, length));
        gathered = Buffer.allocUnsafe(GATHER);
        length = 0;
      }
      if (piece.length > GATHER) {
        await this.write(Buffer.from(piece));
      } else {
        gathered.set(piece, length);
        length += piece.length;
      }
    }
    if (length > 0) await this.write(gathered.subarray(0, length));
  }
}
