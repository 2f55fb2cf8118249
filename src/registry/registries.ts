// Where images are, who to be there, and what to believe: everything the configuration files and options say, put
// together.
import { ownSurroundings, type Surroundings } from '../storage/containers-config.js';
import { HttpClient, type HttpClientOptions } from '../http/client.js';
import { debug } from '../debug.js';
import { showReference, type RegistryReference } from '../spec/reference.js';
import type { Credentials } from './credentials.js';
import { findCredentials } from './find-credentials.js';
import { hostCertificates } from './host-certificates.js';
import { PullSource } from './pull-source.js';
import {
  pullEndpoints,
  pushEndpoint,
  readRegistriesConfig,
  type Endpoint,
  type RegistriesConfig,
} from './registries-conf.js';
import { RegistryRepository, serverOf } from './repository.js';
import { VERSION } from '../version.js';

export interface RegistryOptions {
  /** whose configuration counts; default: this process's */
  surroundings?: Surroundings | undefined;
  /** the program and its version, for the servers' logs; default: this package's */
  agent?: string | undefined;
  /** read instead of registries.conf and its drop-ins */
  registriesConf?: string | undefined;
  /** the only file to look for credentials in */
  authFile?: string | undefined;
  /** who to be at the host that references name; 'nobody' asks no file and no helper */
  credentials?: Credentials | 'nobody' | undefined;
  /** certificates for all hosts, instead of certs.d */
  certDir?: string | undefined;
  /** true: servers must prove who they are, false: none must; default: as registries.conf says */
  tlsVerify?: boolean | undefined;
  onRetry?: HttpClientOptions['onRetry'];
  /** what users should know: a registry has something to tell them, or a mirror does not do its work; safe to print */
  onWarning?: ((text: string) => void) | undefined;
  /** milliseconds before the first repetition of a request, default 2 s */
  retryMs?: number;
  /** most milliseconds without a byte, default 30 s */
  idleMs?: number;
}

/** All registries, as one user sees them. Disposing ends all connections. */
export class Registries implements AsyncDisposable {
  readonly #options: RegistryOptions;
  readonly #surroundings: Surroundings;
  readonly #agent: string;
  readonly #config: RegistriesConfig;
  readonly #clients = new Map<string, HttpClient>();

  /** @throws NotFoundError, FormatError `BAD_CONFIG` */
  constructor(options: RegistryOptions = {}) {
    const { surroundings = ownSurroundings(), agent = `cfsbridge/${VERSION}` } = options;
    this.#options = options;
    this.#surroundings = surroundings;
    this.#agent = agent;
    this.#config = readRegistriesConfig(surroundings, options.registriesConf);
  }

  /**
   * Where to pull an image from: mirrors first.
   * @throws BridgeError `REGISTRY_BLOCKED`; NotFoundError, FormatError for certificates
   */
  source(reference: RegistryReference): PullSource {
    const endpoints = pullEndpoints(this.#config, reference);
    debug(
      () =>
        `registry: ${showReference(reference)} is looked for at ` +
        endpoints.map(({ reference: at, insecure }) => showReference(at) + (insecure ? ' (insecure)' : '')).join(', '),
    );
    const places = endpoints.map((endpoint) => ({
      repository: this.#repository(endpoint, reference, 'pull'),
      reference: endpoint.reference,
    }));
    return new PullSource(reference, places, (text) => this.#options.onWarning?.(text));
  }

  /**
   * Where to push an image to.
   * @throws as `source`
   */
  destination(reference: RegistryReference): { repository: RegistryRepository; reference: RegistryReference } {
    const endpoint = pushEndpoint(this.#config, reference);
    return { repository: this.#repository(endpoint, reference, 'pull,push'), reference: endpoint.reference };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const clients = [...this.#clients.values()];
    this.#clients.clear();
    await Promise.all(clients.map((client) => client[Symbol.asyncDispose]()));
  }

  #repository(
    { reference: name, insecure: configured }: Endpoint,
    asked: RegistryReference,
    access: 'pull' | 'pull,push',
  ): RegistryRepository {
    const { tlsVerify, onWarning } = this.#options;
    const insecure = tlsVerify === undefined ? configured : !tlsVerify;
    return new RegistryRepository({
      name,
      access,
      client: this.#client(name.host, insecure),
      agent: this.#agent,
      insecure,
      credentials: () => this.#credentials(name, asked),
      onWarning,
    });
  }

  async #credentials(name: RegistryReference, asked: RegistryReference): Promise<Credentials | undefined> {
    const { credentials, authFile } = this.#options;
    if (credentials === 'nobody') return undefined;
    // Who was named for one host is not to be known to another that stands in for it.
    if (credentials !== undefined && name.host === asked.host) return credentials;
    return findCredentials(name, {
      surroundings: this.#surroundings,
      authFile,
      helpers: this.#config.credentialHelpers,
    });
  }

  #client(host: string, insecure: boolean): HttpClient {
    const key = `${host} ${insecure}`;
    const made = this.#clients.get(key);
    if (made !== undefined) return made;
    const { certDir, onRetry, retryMs, idleMs } = this.#options;
    const { authorities, clientCertificates } = hostCertificates(host, this.#surroundings, certDir);
    const client = new HttpClient({
      agent: this.#agent,
      env: this.#surroundings.env,
      tls: { authorities, clientCertificates, host: new URL(`https://${serverOf(host)}`).host, verify: !insecure },
      onRetry,
      ...(retryMs !== undefined && { retryMs }),
      ...(idleMs !== undefined && { idleMs }),
    });
    this.#clients.set(key, client);
    return client;
  }
}
