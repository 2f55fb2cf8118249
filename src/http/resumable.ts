import type { Abortable } from '../abortable.js';
import { HttpError } from './http-error.js';
import type { HttpResponse } from './response.js';
import { wait, waitBefore } from './wait.js';

/** The signal ends reading, with its reason as the error. */
export interface ResumableOptions extends Abortable {
  /** of all there is to read, in bytes, when it is known */
  size?: number | undefined;
  /** where to begin, default 0 */
  from?: number;
  /** milliseconds before the second reconnection in a row that brought nothing, default 1 s */
  retryMs?: number;
  /** connections in a row that bring nothing worth it and are followed by another, default 10 */
  fruitless?: number;
  /** a connection was lost at this offset and a new one is made */
  onResume?: ((at: number, error: HttpError) => void) | undefined;
}

/**
 * Makes the request for a body, each time anew.
 * @param headers to send with it
 * @returns an answer of status 200, 206 or 416; throws for all others
 */
export type Fetch = (headers: Readonly<Record<string, string>>, signal: AbortSignal) => Promise<HttpResponse>;

/** A connection that brought so much was worth it. */
const PROGRESS = 64 * 1024;
/** So many in a row that were not are enough. */
const MOST_FRUITLESS = 10;
const RETRY_MS = 1000;
const OVER = new Error('the body is not read any more');

/**
 * A body that survives its connections: when one breaks off or falls silent, the next one continues where it ended.
 * Servers that cannot do that send all of it again, and what is known is skipped. The bytes are not looked at: whoever
 * reads them has to know their digest. Disposing ends a read that waits.
 */
export class ResumableBody implements AsyncIterable<Buffer>, AsyncDisposable {
  readonly #fetch: Fetch;
  readonly #options: ResumableOptions;
  readonly #stop = new AbortController();
  #offset: number;
  /** The server does not give parts, or not those that were asked for. */
  #whole = false;
  #etag: string | undefined;
  #total: number | undefined;

  constructor(fetch: Fetch, options: ResumableOptions = {}) {
    this.#fetch = fetch;
    this.#options = options;
    this.#offset = options.from ?? 0;
    if (options.signal?.aborted) this.#abort();
    else options.signal?.addEventListener('abort', this.#abort, { once: true });
  }

  /** How many bytes there are, as soon as the server or whoever asked has said it. */
  get total(): number | undefined {
    return this.#options.size ?? this.#total;
  }

  /** @throws HttpError `HTTP_SIZE` as soon as there are more bytes than there can be; what `fetch` throws */
  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer, void, void> {
    const { size, onResume, retryMs = RETRY_MS, fruitless: most = MOST_FRUITLESS } = this.#options;
    const begin = this.#offset;
    let fruitless = 0;
    let mark = begin;
    while (this.#offset !== size) {
      try {
        if (yield* this.#connection()) return;
      } catch (error) {
        this.#stop.signal.throwIfAborted();
        if (!(error instanceof HttpError && this.#mayPass(error, begin))) throw error;
        if (this.#offset - mark >= PROGRESS) fruitless = 0;
        mark = this.#offset;
        if (++fruitless > most) throw error;
        onResume?.(this.#offset, error);
        if (fruitless > 1) await wait(waitBefore(fruitless - 1, retryMs), this.#stop.signal);
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#options.signal?.removeEventListener('abort', this.#abort);
    // One of its own: the default has a stack, for each of many bodies.
    this.#stop.abort(OVER);
  }

  readonly #abort = (): void => this.#stop.abort(this.#options.signal?.reason);

  /**
   * What one connection brings.
   * @returns whether that was all there is; false when another one has to be made in another way
   */
  async *#connection(): AsyncGenerator<Buffer, boolean, void> {
    const { size } = this.#options;
    await using response = await this.#fetch(this.#headers(), this.#stop.signal);
    const encoded = response.encoding !== undefined && response.length !== size;
    const start = this.#startOf(response, encoded);
    if (start === undefined) {
      this.#whole = true;
      return false;
    }
    const { url } = response;
    let at = start;
    // Some storages say of a file that ends in .gz that gzip is its encoding; its length tells that it is the file as
    // it is.
    for await (const piece of encoded ? response.content() : response.raw()) {
      const fresh = piece.subarray(Math.min(Math.max(this.#offset - at, 0), piece.length));
      at += piece.length;
      if (size !== undefined && at > size)
        throw new HttpError('HTTP_SIZE', url, `more than the ${size} bytes that there should be`);
      this.#offset = Math.max(this.#offset, at);
      if (fresh.length > 0) yield fresh;
    }
    if (size === undefined || at === size) return true;
    throw new HttpError('HTTP_CUT', url, `the answer ended after ${at} of ${size} bytes`, { temporary: true });
  }

  #headers(): Record<string, string> {
    const { size } = this.#options;
    if (this.#offset === 0 || this.#whole) return {};
    // Some servers know no ranges with an open end.
    const range = `bytes=${this.#offset}-${size === undefined ? '' : size - 1}`;
    return { range, ...(this.#etag !== undefined && { 'if-range': this.#etag }) };
  }

  /** The offset at which an answer begins; undefined when it cannot be used. */
  #startOf(response: HttpResponse, encoded: boolean): number | undefined {
    const { size } = this.#options;
    const { status, url, length } = response;
    if (status === 200) {
      if (!encoded) this.#total ??= length;
      if (size !== undefined && !encoded && length !== undefined && length !== size)
        throw new HttpError('HTTP_SIZE', url, `the server has ${length} bytes, there should be ${size}`);
      const etag = response.header('etag');
      this.#etag = etag?.startsWith('"') ? etag : undefined;
      return 0;
    }
    if (this.#whole || this.#offset === 0)
      throw new HttpError('HTTP_PROTOCOL', url, `status ${status}, though no part was asked for`);
    if (status !== 206 || encoded) return undefined;
    const [, first, last, total] =
      /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15}|\*)$/i.exec(response.header('content-range') ?? '') ?? [];
    const fits =
      Number(first) === this.#offset &&
      Number(last) >= this.#offset &&
      (total === '*' || size === undefined || Number(total) === size);
    return fits ? this.#offset : undefined;
  }

  /** A server that is started anew refuses connections for a while. */
  #mayPass(error: HttpError, begin: number): boolean {
    return error.temporary || (error.code === 'HTTP_CONNECT' && this.#offset > begin);
  }
}
