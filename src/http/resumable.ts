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
  /** Made when there is something to end. */
  #stop: AbortController | undefined;
  /** The answer to the first request, where that was made before anybody reads. */
  #begun: HttpResponse | undefined;
  /** Connections in a row that brought nothing worth it, and where the last one ended. */
  #fruitless = 0;
  #mark: number;
  readonly #begin: number;
  #offset: number;
  /** The server does not give parts, or not those that were asked for. */
  #whole = false;
  #etag: string | undefined;
  #total: number | undefined;

  constructor(fetch: Fetch, options: ResumableOptions = {}) {
    this.#fetch = fetch;
    this.#options = options;
    this.#begin = this.#mark = this.#offset = options.from ?? 0;
  }

  /** How many bytes there are, as soon as the server or whoever asked has said it. */
  get total(): number | undefined {
    return this.#options.size ?? this.#total;
  }

  /**
   * All of a body that is known to be small, at the first attempt; once, before anything else is read.
   * @param limit more bytes are not waited for
   * @returns undefined when it is not, or something went wrong: then it is to be iterated, which goes on from there
   * @throws as iterating
   */
  async whole(limit: number): Promise<Buffer | undefined> {
    try {
      const response = await this.#fetch(this.#headers(), this.#options.signal ?? this.#signal);
      const { size } = this.#options;
      const isAll = response.status === 200 && this.#offset === 0 && (size === undefined || response.length === size);
      const bytes = isAll ? await response.whole(limit) : undefined;
      if (bytes === undefined) this.#begun = response;
      return bytes;
    } catch (error) {
      await this.#failed(error);
      return undefined;
    }
  }

  /** @throws HttpError `HTTP_SIZE` as soon as there are more bytes than there can be; what `fetch` throws */
  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer, void, void> {
    while (this.#offset !== this.#options.size) {
      try {
        if (yield* this.#connection()) return;
      } catch (error) {
        await this.#failed(error);
      } finally {
        this.#begun = undefined;
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#options.signal?.removeEventListener('abort', this.#abort);
    this.#begun?.abort(OVER);
    this.#stop ??= new AbortController();
    // One of its own: the default has a stack, for each of many bodies.
    this.#stop.abort(OVER);
  }

  /** Waits before the next connection. @throws the error where there is not to be one */
  async #failed(error: unknown): Promise<void> {
    const { onResume, retryMs = RETRY_MS, fruitless: most = MOST_FRUITLESS } = this.#options;
    const signal = this.#stop?.signal ?? this.#options.signal;
    signal?.throwIfAborted();
    if (!(error instanceof HttpError && this.#mayPass(error))) throw error;
    if (this.#offset - this.#mark >= PROGRESS) this.#fruitless = 0;
    this.#mark = this.#offset;
    if (++this.#fruitless > most) throw error;
    onResume?.(this.#offset, error);
    if (this.#fruitless > 1) await wait(waitBefore(this.#fruitless - 1, retryMs), signal);
  }

  get #signal(): AbortSignal {
    if (this.#stop === undefined) {
      this.#stop = new AbortController();
      const { signal } = this.#options;
      if (signal?.aborted) this.#abort();
      else signal?.addEventListener('abort', this.#abort, { once: true });
    }
    return this.#stop.signal;
  }

  readonly #abort = (): void => this.#stop?.abort(this.#options.signal?.reason);

  /**
   * What one connection brings.
   * @returns whether that was all there is; false when another one has to be made in another way
   */
  async *#connection(): AsyncGenerator<Buffer, boolean, void> {
    const { size } = this.#options;
    await using response = this.#begun ?? (await this.#fetch(this.#headers(), this.#signal));
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
  #mayPass(error: HttpError): boolean {
    return error.temporary || (error.code === 'HTTP_CONNECT' && this.#offset > this.#begin);
  }
}
