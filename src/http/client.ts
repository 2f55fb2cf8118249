// One client for everything that is fetched: registries and repositories of ostree.
import { Agents, type TlsSettings } from './agents.js';
import { Answer } from './answer.js';
import { describeFailure, HttpError } from './http-error.js';
import { redirected } from './redirect.js';
import type { HttpRequest, RequestBody } from './request.js';
import { HttpResponse } from './response.js';
import type { Retry } from './retry.js';
import { wait, waitBefore } from './wait.js';

export interface HttpClientOptions {
  /** proxies and certificate authorities come from here; default: this process's */
  env?: NodeJS.ProcessEnv;
  tls?: TlsSettings;
  /** a Unix socket that all requests go to, whatever their host */
  socketPath?: string;
  /** sent as User-Agent */
  agent: string;
  /** most milliseconds without a byte, default 30 s */
  idleMs?: number;
  /** milliseconds before the first repetition, default 2 s */
  retryMs?: number;
  /** how often a request is repeated, default 5 times */
  retries?: number;
  onRetry?: ((retry: Retry) => void) | undefined;
}

const IDLE_MS = 30_000;
const RETRY_MS = 2000;
const MOST_RETRIES = 5;
const MOST_REDIRECTS = 10;
/** Time for a server that has to look at all it got before it answers. */
const UPLOAD_ANSWER_MS = 300_000;

/** Too early, too many requests, and what is wrong on the server's side and may pass. */
const TEMPORARY: ReadonlySet<number> = new Set([408, 425, 429, 500, 502, 503, 504]);

/** Sends requests. Redirects are followed, and what fails for a moment is repeated. */
export class HttpClient implements AsyncDisposable {
  readonly #options: HttpClientOptions;
  readonly #agents: Agents;
  readonly #verify: boolean;
  readonly #retries: number;

  constructor(options: HttpClientOptions) {
    const { env = process.env, tls = {}, idleMs = IDLE_MS, socketPath } = options;
    this.#options = options;
    this.#verify = tls.verify ?? true;
    this.#retries = options.retries ?? MOST_RETRIES;
    this.#agents = new Agents({ env, tls, connectMs: idleMs, idleMs, socketPath });
  }

  /**
   * The answer to a request, whatever its status: one that stays wrong after some repetitions is an answer as well.
   * @throws HttpError; the signal's reason
   */
  async request(request: HttpRequest): Promise<HttpResponse> {
    const { body, retry = isRepeatable(body), signal } = request;
    for (let tries = 1; ; tries++) {
      signal?.throwIfAborted();
      let result: HttpResponse | HttpError;
      try {
        result = await this.#follow(request);
      } catch (error) {
        if (!(error instanceof HttpError && error.temporary && retry && tries <= this.#retries)) throw error;
        result = error;
      }
      if (result instanceof HttpError) {
        await this.#wait(request, result, tries, undefined);
      } else if (retry && tries <= this.#retries && TEMPORARY.has(result.status)) {
        await result[Symbol.asyncDispose]();
        await this.#wait(request, result.status, tries, result.header('retry-after'));
      } else {
        return result;
      }
    }
  }

  /** Ends all connections, also those that are in use. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#agents[Symbol.asyncDispose]();
  }

  async #wait(
    { url, signal }: HttpRequest,
    reason: number | HttpError,
    tries: number,
    retryAfter: string | undefined,
  ): Promise<void> {
    const waitMs = waitBefore(tries, this.#options.retryMs ?? RETRY_MS, retryAfter);
    this.#options.onRetry?.({ url, reason, waitMs });
    await wait(waitMs, signal);
  }

  async #follow(request: HttpRequest): Promise<HttpResponse> {
    let current = request;
    for (let redirects = 0; ; redirects++) {
      const response = await this.#send(current);
      if (response.status < 300 || response.status === 304 || response.status >= 400) return response;
      const location = response.header('location');
      if (location === undefined) return response;
      await response[Symbol.asyncDispose]();
      if (redirects === MOST_REDIRECTS)
        throw new HttpError(
          'HTTP_REDIRECT',
          request.url,
          `more than ${MOST_REDIRECTS} redirects, the last one to ${current.url.host}`,
        );
      current = redirected(current, response.status, location, this.#verify);
    }
  }

  async #send({
    url,
    method = 'GET',
    headers,
    authorization,
    ownHeaders,
    body,
    signal,
  }: HttpRequest): Promise<HttpResponse> {
    const dispatcher = this.#agents.for(url);
    try {
      const message = {
        origin: url.origin,
        path: `${url.pathname}${url.search}`,
        method,
        headers: {
          'user-agent': this.#options.agent,
          // A digest is of the bytes as they are.
          'accept-encoding': 'identity',
          ...ownHeaders,
          ...headers,
          ...(authorization !== undefined && { authorization }),
        },
        ...(body !== undefined && { body: body as Buffer, headersTimeout: UPLOAD_ANSWER_MS }),
      };
      return new HttpResponse(url, await Answer.to(dispatcher, message, signal));
    } catch (error) {
      signal?.throwIfAborted();
      throw describeFailure(url, error);
    }
  }
}

function isRepeatable(body: RequestBody | undefined): boolean {
  return body === undefined || body instanceof Uint8Array;
}
