import type { HttpClient } from '../http/client.js';
import type { Challenge } from './challenge.js';
import type { Credentials } from './credentials.js';
import { RegistryError } from './registry-error.js';
import { basic, fetchToken, type Token } from './token.js';

export interface AuthorizationOptions {
  client: HttpClient;
  /** the program's name, which services keep beside identity tokens */
  agent: string;
  /** of the registry */
  base: URL;
  /** plain HTTP is accepted */
  insecure: boolean;
  /** finds out who to be; asked once, when that is demanded */
  credentials: () => Promise<Credentials | undefined>;
  /** what the registry demanded at first; some demand nothing readable later */
  challenges: readonly Challenge[];
}

interface Cached {
  promise: Promise<Token>;
  token: Token | undefined;
}

/** Who is asking, in the form a registry wants to hear it. */
export class Authorization {
  readonly #options: AuthorizationOptions;
  readonly #tokens = new Map<string, Cached>();
  #challenges: readonly Challenge[];
  #credentials: Promise<Credentials | undefined> | undefined;

  constructor(options: AuthorizationOptions) {
    this.#options = options;
    this.#challenges = options.challenges;
  }

  /**
   * The value of the header Authorization.
   * @param scopes what is going to be done
   * @returns undefined when nothing is demanded or nobody is known
   * @throws RegistryError, HttpError
   */
  async header(scopes: readonly string[]): Promise<string | undefined> {
    const bearer = this.#challenge('bearer');
    const known = bearer === undefined ? undefined : await this.credentials();
    if (known?.kind === 'token') return `Bearer ${known.token}`;
    if (bearer !== undefined) return `Bearer ${(await this.#token(bearer, scopes)).value}`;
    if (this.#challenge('basic') === undefined) return undefined;
    const credentials = await this.credentials();
    return credentials?.kind === 'basic' ? basic(credentials) : undefined;
  }

  /** Who is asking. */
  credentials(): Promise<Credentials | undefined> {
    return (this.#credentials ??= this.#options.credentials());
  }

  /**
   * A request with `used` was refused.
   * @returns the scopes to try once more with; undefined when that would not help
   */
  refused(
    used: string | undefined,
    scopes: readonly string[],
    challenges: readonly Challenge[],
  ): readonly string[] | undefined {
    const known = this.#challenges;
    if (challenges.some(({ scheme }) => scheme === 'bearer' || scheme === 'basic')) this.#challenges = challenges;
    if (used === undefined) return this.#challenges !== known || known.length > 0 ? scopes : undefined;
    if (!used.startsWith('Bearer ')) return undefined;
    for (const [key, { token }] of this.#tokens) if (`Bearer ${token?.value}` === used) this.#tokens.delete(key);
    const parameters = challenges.find(({ scheme }) => scheme === 'bearer')?.parameters;
    const scope = parameters?.get('error') === 'insufficient_scope' ? parameters.get('scope') : undefined;
    return scope === undefined ? scopes : [...new Set([...scopes, ...scope.split(' ').filter(Boolean)])];
  }

  #challenge(wanted: string): Challenge | undefined {
    return this.#challenges.find(({ scheme }) => scheme === wanted);
  }

  async #token(challenge: Challenge, scopes: readonly string[]): Promise<Token> {
    const key = scopes.join(' ');
    const cached = this.#tokens.get(key);
    if (cached !== undefined && (cached.token === undefined || Date.now() < cached.token.renewAt))
      return cached.promise;
    // Several blobs are read at a time, and all want the same token.
    const entry: Cached = { promise: this.#fetch(challenge, scopes), token: undefined };
    this.#tokens.set(key, entry);
    try {
      entry.token = await entry.promise;
      return entry.token;
    } catch (error) {
      if (this.#tokens.get(key) === entry) this.#tokens.delete(key);
      throw error;
    }
  }

  async #fetch(challenge: Challenge, scopes: readonly string[]): Promise<Token> {
    const { client, agent } = this.#options;
    const realm = this.#realm(challenge);
    return fetchToken(client, agent, {
      realm,
      service: challenge.parameters.get('service'),
      scopes,
      credentials: await this.credentials(),
    });
  }

  #realm({ parameters }: Challenge): URL {
    const { base, insecure } = this.#options;
    const text = parameters.get('realm') ?? '';
    const refuse = (why: string): RegistryError =>
      new RegistryError('REGISTRY_ANSWER', { host: base.host }, `the registry sends to a token service that ${why}`);
    if (!URL.canParse(text)) throw refuse('is no URL');
    const realm = new URL(text);
    if (!/^https?:$/.test(realm.protocol) || realm.username !== '' || realm.password !== '')
      throw refuse('cannot be used');
    // Password and token would go over the network in the clear, and the registry is one that does not.
    if (realm.protocol === 'http:' && base.protocol === 'https:' && !insecure)
      throw refuse(`is not encrypted (${realm.host})`);
    return realm;
  }
}
