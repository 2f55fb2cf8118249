import { once } from 'node:events';
import { printableJson, printableLines } from '../bytes.js';
import { PartFailure } from '../fd/part-writer.js';

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

  /** Writes lines of text. */
  line(text: string): Promise<void> {
    return this.write(`${text}\n`);
  }

  /** Writes a value as JSON with two spaces of indentation, the way cfsctl prints it. */
  json(value: unknown): Promise<void> {
    return this.jsonText(`${JSON.stringify(value, null, 2)}\n`);
  }

  /** The same for JSON that is text already. */
  jsonText(json: string): Promise<void> {
    return this.#put(printableJson(json));
  }

  /** Writes text for people, and bytes as they are. */
  write(data: string | Uint8Array): Promise<void> {
    return this.#put(typeof data === 'string' ? printableLines(data) : data);
  }

  async #put(data: string | Uint8Array): Promise<void> {
    this.#signal.throwIfAborted();
    if (!this.#stream.write(data)) await once(this.#stream, 'drain', { signal: this.#signal });
  }

  /** Lets `write` write to the descriptor, where nothing else may be written meanwhile. */
  async direct(write: (fd: number) => Promise<void>): Promise<void> {
    try {
      await write(this.#stream.fd);
    } catch (error) {
      // The listener aborts the signal.
      if (error instanceof PartFailure && error.ofOutput) this.#stream.emit('error', error);
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
