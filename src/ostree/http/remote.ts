import type { Abortable } from '../../abortable.js';
import { printable } from '../../bytes.js';
import { BridgeError, NotFoundError } from '../../errors.js';
import { HttpClient, type HttpClientOptions } from '../../http/client.js';
import { showUrl, withoutPassword } from '../../http/http-error.js';
import type { HttpResponse } from '../../http/response.js';
import { ResumableBody } from '../../http/resumable.js';
import { HttpError } from '../../http/http-error.js';
import { Authorization } from '../../registry/authorization.js';
import { parseChallenges } from '../../registry/challenge.js';
import type { Credentials } from '../../registry/credentials.js';
import { findCredentials } from '../../registry/find-credentials.js';
import { hostCertificates } from '../../registry/host-certificates.js';
import { AUTH_FILES } from '../../registry/registries-conf.js';
import { ownSurroundings, type Surroundings } from '../../storage/containers-config.js';
import { VERSION } from '../../version.js';

/** Requests on their way at the same time. */
export const PARALLEL_REQUESTS = 32;
/** Files of up to so many bytes are held at the same time; of longer ones, one. */
const SMALL = 4 << 20;
/** Files of up to so many bytes come at one go. */
const WHOLE = 1 << 20;
const RETRIES = 2;
const RETRY_MS = 1000;

export interface RemoteOptions {
  /** whose configuration counts; default: this process's */
  surroundings?: Surroundings | undefined;
  /** the only file to look for credentials in */
  authFile?: string | undefined;
  /** who to be; 'nobody' asks no file and no helper */
  credentials?: Credentials | 'nobody' | undefined;
  /** certificates, instead of those in certs.d */
  certDir?: string | undefined;
  /** false: any certificate is good */
  tlsVerify?: boolean | undefined;
  /** sent with each request to the host of the URL, and to no other */
  headers?: Readonly<Record<string, string>> | undefined;
  onRetry?: HttpClientOptions['onRetry'];
  /** milliseconds before the first repetition of a request, default 1 s */
  retryMs?: number | undefined;
  /** most milliseconds without a byte, default 30 s */
  idleMs?: number | undefined;
}

/** An archive repository that a server has. Disposing ends all connections. */
export class OstreeRemote implements AsyncDisposable {
  /** without a password */
  readonly url: URL;
  /** the same with a slash, without a query */
  readonly #folder: string;
  readonly #options: RemoteOptions;
  readonly #client: HttpClient;
  readonly #credentials: () => Promise<Credentials | undefined>;
  #authorization: Authorization | undefined;
  /** Ends when the last of those that wait, and are longer than `SMALL`, is read. */
  #longer: Promise<unknown> = Promise.resolve();

  /**
   * @param url of the repository, http or https
   * @throws BridgeError `BAD_URL` for what is none; NotFoundError, FormatError `BAD_CERTIFICATE`
   */
  constructor(url: string, options: RemoteOptions = {}) {
    const parsed = parseUrl(url);
    const { surroundings = ownSurroundings(), certDir, tlsVerify, onRetry, idleMs, retryMs = RETRY_MS } = options;
    const named = credentialsIn(parsed);
    parsed.username = parsed.password = parsed.hash = '';
    this.url = parsed;
    this.#folder = `${parsed.origin}${parsed.pathname.replace(/\/$/, '')}/`;
    this.#options = options;
    const { authorities, clientCertificates } = hostCertificates(parsed.host, surroundings, certDir);
    this.#client = new HttpClient({
      agent: `cfsbridge/${VERSION}`,
      env: surroundings.env,
      tls: { authorities, clientCertificates, host: parsed.host, verify: tlsVerify ?? true },
      retries: RETRIES,
      retryMs,
      onRetry,
      ...(idleMs !== undefined && { idleMs }),
    });
    this.#credentials = async () => {
      if (options.credentials === 'nobody') return undefined;
      const name = { host: parsed.host, path: parsed.pathname.replace(/^\/+|\/+$/g, '') };
      return (
        options.credentials ??
        named ??
        (await findCredentials(name, { surroundings, authFile: options.authFile, helpers: [AUTH_FILES] }))
      );
    };
  }

  /** Where a file of the repository is. @param path relative, with its parts encoded */
  at(path: string): URL {
    return new URL(`${this.#folder}${path}${this.url.search}`);
  }

  /**
   * All of a small file.
   * @returns undefined when the server says that there is none
   * @throws BridgeError `OSTREE_STATUS` for another answer; HttpError, with `HTTP_SIZE` beyond `limit` bytes
   */
  async bytes(path: string, limit: number, signal: AbortSignal): Promise<Buffer | undefined> {
    let done: (() => void) | undefined;
    try {
      const content = await this.file(path, signal);
      if (content instanceof Uint8Array && content.length <= limit) return content;
      const pieces: Buffer[] = [];
      let length = 0;
      for await (const piece of content instanceof Uint8Array ? [content] : content) {
        length += piece.length;
        if (length > limit) throw new HttpError('HTTP_SIZE', this.at(path), `the answer is longer than ${limit} bytes`);
        pieces.push(piece);
        if (length > SMALL) done ??= await this.#turn();
      }
      return Buffer.concat(pieces, length);
    } catch (error) {
      if (error instanceof NotFoundError) return undefined;
      throw error;
    } finally {
      done?.();
    }
  }

  /** Waits for all who have asked before. @returns what lets the next one go on */
  async #turn(): Promise<() => void> {
    const before = this.#longer;
    let done = (): void => undefined;
    this.#longer = new Promise<void>((resolve) => (done = resolve));
    await before;
    return done;
  }

  /**
   * A file of any size: a small one at one go, another one as `pieces`, which have to be read.
   * @throws NotFoundError, BridgeError `OSTREE_STATUS`, HttpError
   */
  async file(path: string, signal: AbortSignal): Promise<Buffer | AsyncGenerator<Buffer, void, void>> {
    const body = this.#body(path, signal);
    return (await body.whole(WHOLE)) ?? piecesOf(body);
  }

  /**
   * A file of any size. A connection that breaks off is followed by another one, which asks for the rest.
   * @throws NotFoundError, BridgeError `OSTREE_STATUS`, HttpError
   */
  pieces(path: string, signal: AbortSignal): AsyncGenerator<Buffer, void, void> {
    return piecesOf(this.#body(path, signal));
  }

  #body(path: string, signal: AbortSignal): ResumableBody {
    return new ResumableBody(
      (headers, stop) => this.request(path, { headers, signal: stop, expect: [200, 206, 416] }),
      { signal, fruitless: RETRIES, ...(this.#options.retryMs !== undefined && { retryMs: this.#options.retryMs }) },
    );
  }

  /**
   * Asks for a file.
   * @param expect the statuses that the caller can do with
   * @throws NotFoundError, BridgeError `OSTREE_STATUS` for any other; HttpError; the signal's reason
   */
  async request(
    path: string,
    {
      headers,
      signal,
      expect,
      retry,
    }: { headers?: Readonly<Record<string, string>>; expect: readonly number[]; retry?: boolean } & Abortable,
  ): Promise<HttpResponse> {
    const url = this.at(path);
    for (let first = true; ; first = false) {
      const authorization = this.#authorization && (await this.#authorization.header([]));
      const response = await this.#client.request({
        url,
        headers,
        ownHeaders: this.#options.headers,
        authorization,
        signal,
        retry,
      });
      if (expect.includes(response.status)) return response;
      if (response.status === 401 && first && response.url.origin === url.origin && this.#challenged(response)) {
        await response[Symbol.asyncDispose]();
        continue;
      }
      return await refused(response);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client[Symbol.asyncDispose]();
  }

  /** Whether the request is worth another try, now that it is known how the server wants to hear who asks. */
  #challenged(response: HttpResponse): boolean {
    const challenges = parseChallenges(response.headers('www-authenticate'));
    if (challenges.length === 0) return false;
    this.#authorization ??= new Authorization({
      client: this.#client,
      agent: `cfsbridge/${VERSION}`,
      base: this.url,
      insecure: this.url.protocol === 'http:',
      credentials: this.#credentials,
      challenges,
    });
    return true;
  }
}

async function* piecesOf(body: ResumableBody): AsyncGenerator<Buffer, void, void> {
  await using read = body;
  yield* read;
}

async function refused(response: HttpResponse): Promise<never> {
  await using answer = response;
  throw statusError(answer.url, answer.status);
}

function statusError(url: URL, status: number): BridgeError {
  const message = `${showUrl(url)}: the server answers with status ${status}`;
  if (status === 404 || status === 410) return new NotFoundError(message);
  return new BridgeError('OSTREE_STATUS', message);
}

function parseUrl(text: string): URL {
  if (/^(?:mirrorlist|contenturl)=/i.test(text))
    throw new BridgeError(
      'BAD_URL',
      `${printable(text)} is a list of mirrors, which is not read; give the URL of the repository at one of them`,
    );
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || (url.protocol !== 'http:' && url.protocol !== 'https:'))
    throw new BridgeError(
      'BAD_URL',
      `${printable(withoutPassword(text))} is no URL of a repository, which begins with http://, https:// or file://`,
    );
  return url;
}

function credentialsIn({ username, password }: URL): Credentials | undefined {
  if (username === '') return undefined;
  return { kind: 'basic', username: decodeURIComponent(username), password: decodeURIComponent(password) };
}
