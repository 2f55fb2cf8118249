import { createSecureContext, type SecureContext } from 'node:tls';
import { FormatError } from '../errors.js';
import { systemAuthorities } from './authorities.js';
import { proxyFor } from './proxy.js';
import { Agent, ProxyAgent, type Dispatcher } from './quiet-undici.js';

/** A certificate this side shows to a server that asks for one, with its key, as PEM. */
export interface ClientCertificate {
  certificate: string;
  key: string;
}

export interface TlsSettings {
  /** certificate authorities to believe beside the system's, as PEM */
  authorities?: readonly string[];
  /** shown to `host` only */
  clientCertificates?: readonly ClientCertificate[];
  /** with port, as in a URL */
  host?: string;
  /** false: anybody may be the server, which only makes sense where the network is trusted */
  verify?: boolean;
}

export interface AgentSettings {
  env: NodeJS.ProcessEnv;
  tls: TlsSettings;
  /** most milliseconds until a connection is there */
  connectMs: number;
  /** most milliseconds without a byte */
  idleMs: number;
  /** a Unix socket that all requests go to, whatever their host */
  socketPath?: string | undefined;
}

/** The connections to all hosts, direct and by proxies. They are kept for a few seconds for the next request. */
export class Agents implements AsyncDisposable {
  readonly #settings: AgentSettings;
  readonly #agents = new Map<string, Dispatcher>();
  /** The same by origin, as there are many requests to each. */
  readonly #byOrigin = new Map<string, Dispatcher>();
  readonly #contexts = new Map<boolean, SecureContext>();

  constructor(settings: AgentSettings) {
    this.#settings = settings;
  }

  /** @throws HttpError `HTTP_PROXY`; NotFoundError, FormatError `BAD_CERTIFICATE` */
  for(url: URL): Dispatcher {
    const { origin } = url;
    let agent = this.#byOrigin.get(origin);
    if (agent === undefined) this.#byOrigin.set(origin, (agent = this.#find(url)));
    return agent;
  }

  #find(url: URL): Dispatcher {
    const { env, tls } = this.#settings;
    const proxy = this.#settings.socketPath === undefined ? proxyFor(url, env) : undefined;
    const known = url.host === tls.host;
    const key = `${url.protocol} ${known} ${proxy?.href ?? ''}`;
    let agent = this.#agents.get(key);
    if (agent === undefined) {
      agent = this.#make(url.protocol === 'https:' ? this.#tls(known) : {}, proxy);
      this.#agents.set(key, agent);
    }
    return agent;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const agents = [...this.#agents.values()];
    this.#agents.clear();
    this.#byOrigin.clear();
    await Promise.all(agents.map((agent) => agent.destroy()));
  }

  #make(tls: object, proxy: URL | undefined): Dispatcher {
    const { connectMs, idleMs, socketPath } = this.#settings;
    const connect = { timeout: connectMs, ...(socketPath !== undefined && { socketPath }), ...tls };
    const common = { headersTimeout: idleMs, bodyTimeout: idleMs, allowH2: false };
    if (proxy === undefined) return new Agent({ ...common, connect });
    // A proxy for plain HTTP gets the whole URL; only through TLS it is asked for a tunnel.
    return new ProxyAgent({
      ...common,
      uri: proxy.href,
      requestTls: connect,
      proxyTls: { ...this.#proxyTls(proxy), timeout: connectMs },
      proxyTunnel: false,
    });
  }

  #proxyTls(proxy: URL): object {
    return proxy.protocol === 'https:' ? { secureContext: this.#context(false) } : {};
  }

  #tls(known: boolean): object {
    return { secureContext: this.#context(known), rejectUnauthorized: this.#settings.tls.verify ?? true };
  }

  /** Made once: reading some hundred certificates takes longer than a request. */
  #context(known: boolean): SecureContext {
    const made = this.#contexts.get(known);
    if (made !== undefined) return made;
    const { env, tls } = this.#settings;
    const certificates = known ? (tls.clientCertificates ?? []) : [];
    // Who believes everybody needs no authorities, whose reading takes longer than all else of a short command.
    const everybody = tls.verify === false && known;
    const authorities = everybody ? [] : [...systemAuthorities(env), ...(tls.authorities ?? [])];
    const context = secureContext(authorities, certificates);
    this.#contexts.set(known, context);
    return context;
  }
}

function secureContext(ca: string[], certificates: readonly ClientCertificate[]): SecureContext {
  try {
    return createSecureContext({
      ca,
      ...(certificates.length > 0 && {
        cert: certificates.map(({ certificate }) => certificate),
        key: certificates.map(({ key }) => key),
      }),
    });
  } catch (cause) {
    throw new FormatError(
      'BAD_CERTIFICATE',
      `a certificate or key cannot be used: ${cause instanceof Error ? cause.message : String(cause)}`,
      { cause },
    );
  }
}
