// A token service as docker's registry wants one: whoever asks may read what is open, and the user may do anything.
import { createPrivateKey, randomUUID, sign, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { TestContext } from 'node:test';
import { bodyOf, scriptedHttp } from '../support/servers/scripted-http.js';

export interface TokenServer {
  /** Where a registry sends its clients, and what it has to know to believe their tokens. */
  auth(rootCertificates: string): object;
  /** who asked, and for what: `user repository:a/b:pull,push` */
  readonly asked: string[];
}

export interface TokenUsers {
  /** `user:password` */
  creds: string;
  /** what a login left instead of the password */
  identityToken: string;
}

const SERVICE = 'registry for tests';
const ISSUER = 'token service for tests';

/** @param signer certificate and key; the registry has to know the authority that signed the certificate */
export async function startTokenServer(
  t: TestContext,
  signer: { certificate: string; key: string },
  { creds, identityToken }: TokenUsers,
): Promise<TokenServer> {
  const certificate = new X509Certificate(readFileSync(signer.certificate));
  const key = createPrivateKey(readFileSync(signer.key));
  const asked: string[] = [];
  const basic = `Basic ${Buffer.from(creds).toString('base64')}`;
  const user = creds.slice(0, creds.indexOf(':'));
  const encoded = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');

  function token(subject: string, access: object[]): string {
    const now = Math.floor(Date.now() / 1000);
    const header = { typ: 'JWT', alg: 'ES256', x5c: [certificate.raw.toString('base64')] };
    const claims = { iss: ISSUER, sub: subject, aud: SERVICE, exp: now + 300, nbf: now - 10, iat: now, access };
    const signed = `${encoded(header)}.${encoded({ ...claims, jti: randomUUID() })}`;
    const signature = sign('sha256', Buffer.from(signed), { key, dsaEncoding: 'ieee-p1363' });
    return `${signed}.${signature.toString('base64url')}`;
  }

  const { origin } = await scriptedHttp(t, async (request, response) => {
    const url = new URL(request.url ?? '', 'http://token');
    const form = new URLSearchParams((await bodyOf(request)).toString('latin1'));
    const refreshed = form.get('grant_type') === 'refresh_token' && form.get('refresh_token') === identityToken;
    const who = refreshed || request.headers.authorization === basic ? user : '';
    if ((who === '' && request.headers.authorization !== undefined) || (request.method === 'POST' && !refreshed)) {
      response.writeHead(401).end('{"details":"incorrect username or password"}');
      return;
    }
    const fields = request.method === 'POST' ? form : url.searchParams;
    // Several scopes come as several parameters, or in one with spaces between them.
    const scopes = fields.getAll('scope').flatMap((scope) => scope.split(' '));
    asked.push([who || 'nobody', ...scopes].join(' '));
    const access = scopes.map((scope) => {
      const [, type, name = '', actions = ''] = /^(\w+):(.*):([\w,*]*)$/.exec(scope) ?? [];
      const open = name.startsWith('open/');
      return { type, name, actions: actions.split(',').filter((action) => who || (open && action === 'pull')) };
    });
    const value = token(who, access);
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ token: value, access_token: value, expires_in: 300 }));
  });
  return {
    auth: (rootCertificates) => ({
      token: { realm: `${origin}/token`, service: SERVICE, issuer: ISSUER, rootcertbundle: rootCertificates },
    }),
    asked,
  };
}
