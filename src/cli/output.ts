import { once } from 'node:events';

/** Small pieces are written together up to this many bytes. */
const GATHER = 256 << 10;

/** Standard output of a command. Writing waits for the reader, and stops when the signal aborts. */
export class Output {
  readonly #stream: NodeJS.WritableStream & { isTTY?: boolean };
  readonly #signal: AbortSignal;

  constructor(stream: NodeJS.WritableStream & { isTTY?: boolean }, signal: AbortSignal) {
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
