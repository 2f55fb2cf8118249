import type { Abortable } from '../abortable.js';
import { printable } from '../bytes.js';
import { debug } from '../debug.js';
import type { HttpClient } from '../http/client.js';
import type { Method, RequestBody } from '../http/request.js';
import { HttpError } from '../http/http-error.js';
import type { HttpResponse } from '../http/response.js';
import type { RepositoryName } from '../spec/reference.js';
import { Authorization } from './authorization.js';
import { parseChallenges, type Challenge } from './challenge.js';
import type { Credentials } from './credentials.js';
import { RegistryError, statusError } from './registry-error.js';

export interface RepositoryOptions {
  name: RepositoryName;
  access: 'pull' | 'pull,push';
  client: HttpClient;
  /** the program's name */
  agent: string;
  /** plain HTTP is accepted where there is no HTTPS */
  insecure: boolean;
  /** finds out who to be, when that is needed */
  credentials: () => Promise<Credentials | undefined>;
  /** shows what a registry wants its users to know, each thing once */
  onWarning?: ((text: string) => void) | undefined;
}

export interface RegistryRequest extends Abortable {
  /** below `/v2/NAME/`; or a whole URL that the server gave */
  target: string | URL;
  method?: Method;
  headers?: Readonly<Record<string, string>>;
  body?: RequestBody | undefined;
  retry?: boolean;
  /** statuses that are not errors */
  expect: readonly number[];
  /** for messages: what could not be done */
  what: string;
  /** the digest or tag it is about */
  reference?: string | undefined;
  /** access that is needed beyond that to the repository itself */
  scopes?: readonly string[];
}

interface Session {
  base: URL;
  /** it keeps signatures itself */
  signatures: boolean;
  authorization: Authorization;
}

interface Ping extends Omit<Session, 'authorization'> {
  challenges: Challenge[];
}

/** One repository of one registry: its requests are sent, authorized, and their errors told, here. */
export class RegistryRepository {
  readonly name: RepositoryName;
  readonly #options: RepositoryOptions;
  readonly #warned = new Set<string>();
  #session: Promise<Session> | undefined;

  constructor(options: RepositoryOptions) {
    this.name = options.name;
    this.#options = options;
  }

  /** For requests that need no authorization and go elsewhere. */
  get client(): HttpClient {
    return this.#options.client;
  }

  /**
   * Sends a request, with a token if one is demanded. A token that is refused is renewed once per request.
   * @throws RegistryError for a status that is not expected, HttpError
   */
  async request(request: RegistryRequest): Promise<HttpResponse> {
    const { access, client } = this.#options;
    const { base, authorization } = await this.#ready(request.signal);
    const { path, host } = this.name;
    const url = typeof request.target === 'string' ? new URL(`/v2/${path}/${request.target}`, base) : request.target;
    let scopes: readonly string[] = [`repository:${path}:${access}`, ...(request.scopes ?? [])];
    for (let first = true; ; first = false) {
      // Whatever is elsewhere, even if this registry sends there, has no business with its tokens.
      const header = url.origin === base.origin ? await authorization.header(scopes) : undefined;
      const { method, headers, body, retry, signal } = request;
      const response = await client.request({
        url,
        authorization: header,
        ...(method && { method }),
        ...(headers && { headers }),
        body,
        ...(retry !== undefined && { retry }),
        signal,
      });
      debug(
        () =>
          `registry ${host}: ${method ?? 'GET'} ` +
          `${url.host}${url.pathname}${headers?.['range'] === undefined ? '' : ` ${headers['range']}`}: status ` +
          `${response.status}${response.url.host === url.host ? '' : ` from ${response.url.host}`}`,
      );
      this.#warn(response);
      if (request.expect.includes(response.status)) return response;
      if (response.status === 401 && response.url.origin === base.origin) {
        const again = authorization.refused(header, scopes, parseChallenges(response.headers('www-authenticate')));
        if (first && again !== undefined && (body === undefined || body instanceof Uint8Array)) {
          scopes = again;
          await response[Symbol.asyncDispose]();
          continue;
        }
      }
      await using refused = response;
      const hint =
        response.status === 401 && (await authorization.credentials()) === undefined
          ? `, and nobody is logged in at ${host} (podman login does that)`
          : '';
      throw await statusError(
        refused,
        { host, repository: path, reference: request.reference },
        `${request.what}${hint}`,
      );
    }
  }

  /**
   * Where a header of an answer leads, for the next request.
   * @throws RegistryError `REGISTRY_ANSWER`
   */
  async locate(response: HttpResponse, header: 'location' | 'link', value: string): Promise<URL> {
    const { base } = await this.#ready(undefined);
    if (!URL.canParse(value, response.url.href)) throw this.error(`the header ${header} is no URL`);
    const url = new URL(value, response.url);
    if (!/^https?:$/.test(url.protocol) || url.username !== '' || url.password !== '')
      throw this.error(`the header ${header} leads to what cannot be used`);
    // A registry behind a proxy often does not know how it is called outside: pages are always its own.
    if (header === 'link' || (url.hostname === base.hostname && url.protocol === 'http:' && base.protocol === 'https:'))
      return new URL(`${url.pathname}${url.search}`, base);
    if (url.protocol === 'http:' && base.protocol === 'https:' && !this.#options.insecure)
      throw this.error(`the header ${header} leads from https to http at ${url.host}`);
    return url;
  }

  /** Whether the registry keeps signatures itself, and gives them out. */
  async givesSignatures(signal: AbortSignal | undefined): Promise<boolean> {
    return (await this.#ready(signal)).signatures;
  }

  /** The URL of a path on the registry's server. */
  async locateAt(path: string, signal: AbortSignal | undefined): Promise<URL> {
    return new URL(path, (await this.#ready(signal)).base);
  }

  /** Whether a URL is the registry's own. */
  async owns(url: URL): Promise<boolean> {
    return url.origin === (await this.#ready(undefined)).base.origin;
  }

  /** An answer of this registry that breaks the protocol. */
  error(reason: string, reference?: string, options: ErrorOptions & { status?: number } = {}): RegistryError {
    return new RegistryError(
      'REGISTRY_ANSWER',
      { host: this.name.host, repository: this.name.path, reference },
      reason,
      options,
    );
  }

  #ready(signal: AbortSignal | undefined): Promise<Session> {
    if (this.#session === undefined) {
      const session = this.#open(signal);
      session.catch(() => (this.#session = undefined));
      this.#session = session;
    }
    return this.#session;
  }

  async #open(signal: AbortSignal | undefined): Promise<Session> {
    const { agent, client, insecure, credentials } = this.#options;
    const { base, signatures, challenges } = await this.#ping(signal);
    debug(
      () =>
        `registry ${this.name.host}: at ${base.origin}, wants ` +
        `${challenges.map(({ scheme }) => scheme).join(' or ') || 'no authorization'}`,
    );
    return {
      base,
      signatures,
      authorization: new Authorization({ agent, base, client, insecure, challenges, credentials }),
    };
  }

  async #ping(signal: AbortSignal | undefined): Promise<Ping> {
    const { insecure } = this.#options;
    const server = serverOf(this.name.host);
    try {
      return await this.#pingAt(new URL(`https://${server}/`), !insecure, signal);
    } catch (error) {
      if (!insecure) throw withAdvice(error, new URL(`https://${server}/v2/`));
      if (!(error instanceof HttpError)) throw error;
    }
    return this.#pingAt(new URL(`http://${server}/`), true, signal);
  }

  async #pingAt(base: URL, retry: boolean, signal: AbortSignal | undefined): Promise<Ping> {
    await using response = await this.#options.client.request({ url: new URL('/v2/', base), retry, signal });
    this.#warn(response);
    if (response.status !== 200 && response.status !== 401)
      throw await statusError(response, { host: this.name.host }, 'this is not a registry');
    return {
      base,
      signatures: response.header('x-registry-supports-signatures') === '1',
      challenges: response.status === 401 ? parseChallenges(response.headers('www-authenticate')) : [],
    };
  }

  #warn(response: HttpResponse): void {
    for (const header of response.headers('warning')) {
      const text = /^299 - "((?:[^"\\]|\\.)*)"/.exec(header)?.[1]?.replace(/\\(.)/g, '$1');
      if (text === undefined || this.#warned.has(text)) continue;
      this.#warned.add(text);
      this.#options.onWarning?.(printable(text));
    }
  }
}

function withAdvice(error: unknown, url: URL): unknown {
  if (!(error instanceof HttpError) || error.code !== 'HTTP_TLS') return error;
  const reason = error.message.slice(error.message.indexOf(': ') + 2);
  const advice =
    'a private authority goes into certs.d; a server without TLS is only taken with "insecure = true" in ' +
    'registries.conf';
  return new HttpError(error.code, url, `${reason}; ${advice}`, { cause: error });
}

/** Who answers for a host in the names of images, with port: Docker Hub does under another name. */
export function serverOf(host: string): string {
  return host === 'docker.io' ? 'registry-1.docker.io' : host;
}
