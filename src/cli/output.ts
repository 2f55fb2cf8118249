import { once } from 'node:events';

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

  /** Writes all pieces, never holding more than one. */
  async pipe(pieces: AsyncIterable<string | Uint8Array> | Iterable<string | Uint8Array>): Promise<void> {
    for await (const piece of pieces) await this.write(piece);
  }
}
