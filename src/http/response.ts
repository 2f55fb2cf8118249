import type { Answer } from './answer.js';
import { decoded } from './content-encoding.js';
import { describeFailure, HttpError } from './http-error.js';

/** The beginning of an answer. Its body must be read, or the response disposed. */
export class HttpResponse implements AsyncDisposable {
  readonly #answer: Answer;

  constructor(
    /** of the last request, after redirects */
    readonly url: URL,
    answer: Answer,
  ) {
    this.#answer = answer;
  }

  get status(): number {
    return this.#answer.status;
  }

  /** A header, the first one where it came several times. */
  header(name: string): string | undefined {
    const value = this.#answer.headers[name.toLowerCase()];
    return typeof value === 'string' ? value : value?.[0];
  }

  /** A header that may come several times. */
  headers(name: string): readonly string[] {
    const value = this.#answer.headers[name.toLowerCase()];
    return value === undefined ? [] : typeof value === 'string' ? [value] : value;
  }

  /** What Content-Length says, if it says a number. */
  get length(): number | undefined {
    const text = this.header('content-length');
    return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
  }

  /** The content encoding, undefined when there is none. */
  get encoding(): string | undefined {
    const encoding = this.header('content-encoding')?.trim().toLowerCase();
    return encoding === '' || encoding === 'identity' ? undefined : encoding;
  }

  /** The body as it comes over the wire. @throws HttpError */
  async *raw(): AsyncGenerator<Buffer, void, void> {
    try {
      yield* this.#answer.pieces();
    } catch (error) {
      throw describeFailure(this.url, error);
    }
  }

  /** The body without content encoding. @throws HttpError */
  content(): AsyncGenerator<Buffer, void, void> {
    return this.encoding === undefined ? this.raw() : decoded(this.raw(), this.encoding, this.url);
  }

  /**
   * All of a body that says that it is small.
   * @param limit more bytes are not waited for
   * @returns undefined when it is longer, does not say how long it is, is encoded, or breaks off: then `raw` has it
   */
  async whole(limit: number): Promise<Buffer | undefined> {
    const { length } = this;
    if (length === undefined || length > limit || this.encoding !== undefined) return undefined;
    return await this.#answer.whole();
  }

  /** Ends a read that waits, and closes the connection. */
  abort(reason: Error): void {
    this.#answer.abort(reason);
  }

  /**
   * All of a small body.
   * @throws HttpError `HTTP_SIZE` beyond `limit` bytes, without waiting for the rest
   */
  async bytes(limit: number): Promise<Buffer> {
    const pieces: Buffer[] = [];
    let length = 0;
    for await (const piece of this.content()) {
      length += piece.length;
      if (length > limit) throw new HttpError('HTTP_SIZE', this.url, `the answer is longer than ${limit} bytes`);
      pieces.push(piece);
    }
    return Buffer.concat(pieces, length);
  }

  /** The beginning of a body that only a person reads; what goes wrong with the rest does not matter. */
  async beginning(limit: number): Promise<Buffer> {
    const pieces: Buffer[] = [];
    let length = 0;
    try {
      for await (const piece of this.content()) {
        pieces.push(piece);
        length += piece.length;
        if (length >= limit) break;
      }
    } catch {
      // The status says enough.
    }
    return Buffer.concat(pieces).subarray(0, limit);
  }

  /** Makes the connection free for the next request, or closes it when too much would come. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#answer.discard(this.length);
  }
}
