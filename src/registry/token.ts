import * as z from 'zod';
import type { HttpClient } from '../http/client.js';
import { TOKEN_ANSWER_LIMIT } from '../limits.js';
import type { Credentials } from './credentials.js';
import { RegistryError, statusError } from './registry-error.js';

/** Shorter lives than this are not believed: some services leave the field out or write nonsense. */
const SHORTEST_LIFE_S = 60;
/** A token is renewed before it ends, for the request takes its time to arrive. */
const MARGIN_MS = 10_000;

const answerSchema = z.object({
  token: z.string().nullish(),
  access_token: z.string().nullish(),
  expires_in: z.number().nullish().catch(undefined),
  issued_at: z.string().nullish().catch(undefined),
});

export interface Token {
  value: string;
  /** from then on a new one is needed, in milliseconds as of Date.now */
  renewAt: number;
}

export interface TokenRequest {
  realm: URL;
  service: string | undefined;
  scopes: readonly string[];
  credentials: Credentials | undefined;
}

/**
 * Gets a token for some scopes. An identity token is exchanged by POST, a password is shown by Basic.
 * @throws RegistryError `UNAUTHORIZED` and others, HttpError
 */
export async function fetchToken(
  client: HttpClient,
  agent: string,
  request: TokenRequest,
  now = Date.now,
): Promise<Token> {
  const { realm, credentials } = request;
  const asked = now();
  await using response = await (credentials?.kind === 'identity'
    ? exchange(client, agent, request, credentials.token)
    : ask(client, request, credentials?.kind === 'basic' ? credentials : undefined));
  const place = { host: realm.host };
  if (response.status !== 200) throw await statusError(response, place, 'no token is given');
  const answer = answerSchema.safeParse(parse(await response.bytes(TOKEN_ANSWER_LIMIT)));
  const value = answer.data?.token || answer.data?.access_token;
  // The token becomes a header.
  if (!value || !/^[\x21-\x7e]+$/.test(value))
    throw new RegistryError('REGISTRY_ANSWER', place, 'the answer holds no token', { status: 200 });
  const { issued_at: issuedAt, expires_in: life } = answer.data ?? {};
  const issued = Date.parse(issuedAt ?? '');
  // Clocks differ: a token from the future was made when it was asked for.
  const from = Number.isNaN(issued) ? asked : Math.min(issued, asked);
  return { value, renewAt: from + Math.max(life ?? 0, SHORTEST_LIFE_S) * 1000 - MARGIN_MS };
}

function ask(
  client: HttpClient,
  { realm, service, scopes }: TokenRequest,
  credentials: Extract<Credentials, { kind: 'basic' }> | undefined,
): ReturnType<HttpClient['request']> {
  const url = new URL(realm);
  if (service !== undefined) url.searchParams.set('service', service);
  for (const scope of scopes) url.searchParams.append('scope', scope);
  if (credentials !== undefined) url.searchParams.set('account', credentials.username);
  return client.request({ url, authorization: credentials && basic(credentials) });
}

function exchange(
  client: HttpClient,
  agent: string,
  { realm, service, scopes }: TokenRequest,
  identity: string,
): ReturnType<HttpClient['request']> {
  const form = new URLSearchParams({ grant_type: 'refresh_token', client_id: agent, refresh_token: identity });
  if (service !== undefined) form.set('service', service);
  if (scopes.length > 0) form.set('scope', scopes.join(' '));
  return client.request({
    url: realm,
    method: 'POST',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: Buffer.from(form.toString()),
  });
}

export function basic({ username, password }: Extract<Credentials, { kind: 'basic' }>): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
}

function parse(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch {
    return undefined;
  }
}
