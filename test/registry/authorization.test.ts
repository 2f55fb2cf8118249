import assert from 'node:assert/strict';
import type { IncomingMessage } from 'node:http';
import { test, type TestContext } from 'node:test';
import { parseChallenges } from '../../src/registry/challenge.js';
import { HttpClient } from '../../src/http/client.js';
import { fetchToken } from '../../src/registry/token.js';
import { fixture } from '../support/fixtures.js';
import { bodyOf, scriptedHttp, type ScriptedServer } from '../support/servers/scripted-http.js';
import {
  destinationOf,
  scriptedRegistry,
  sourceOf,
  type ScriptedRegistry,
} from '../support/servers/scripted-registry.js';
import { pushBlob } from '../../src/registry/upload.js';

const USER = { kind: 'basic', username: 'user', password: 'secret' } as const;
const BASIC = `Basic ${Buffer.from('user:secret').toString('base64')}`;

interface TokenService extends ScriptedServer {
  bodies: string[];
  given: string[];
}

async function tokenService(
  t: TestContext,
  answer: (request: IncomingMessage, token: string) => unknown = (_, token) => ({ token }),
): Promise<TokenService> {
  const given: string[] = [];
  const bodies: string[] = [];
  const server = await scriptedHttp(t, async (request, response) => {
    bodies.push((await bodyOf(request)).toString());
    given.push(`token-${given.length + 1}`);
    const body = answer(request, given.at(-1) as string);
    if (typeof body === 'number')
      response
        .writeHead(body, { 'content-type': 'application/json' })
        .end('{"errors":[{"code":"DENIED","message":"who?"}]}');
    else response.end(JSON.stringify(body));
  });
  return Object.assign(server, { bodies, given });
}

async function guarded(
  t: TestContext,
  service: ScriptedServer,
  accepts: (token: string, request: IncomingMessage) => boolean,
  extra = '',
): Promise<ScriptedRegistry> {
  const server = await scriptedRegistry(t, {
    bearer: { challenge: () => `Bearer realm="${service.origin}/token",service="the service"${extra}`, accepts },
    mounts: true,
  });
  server.addManifest({ schemaVersion: 2, layers: [] }, 'latest');
  return server;
}

test('a token is asked for once, with the password, and used', async (t) => {
  const service = await tokenService(t);
  const server = await guarded(t, service, (token) => token === 'token-1');
  const source = sourceOf(t, server, { credentials: USER });
  await source.manifest();
  await Promise.all([source.manifest(), source.manifest()]);
  assert.deepEqual(service.lines(), ['GET /token?service=the+service&scope=repository%3Aa%2Fb%3Apull&account=user']);
  assert.equal(service.requests[0]?.headers.authorization, BASIC);
});

test('somebody unknown gets a token, too', async (t) => {
  const service = await tokenService(t, (_, token) => ({ access_token: token }));
  const server = await guarded(t, service, (token) => token === 'token-1');
  await sourceOf(t, server, { credentials: 'nobody' }).manifest();
  assert.equal(service.requests[0]?.headers.authorization, undefined);
});

test('an identity token is exchanged, and neither shown in a URL nor sent elsewhere', async (t) => {
  const thief = await scriptedHttp(t, (_, response) => void response.end('{"token":"t"}'));
  let steal = false;
  const service = await tokenService(t, (_, token) => ({ access_token: token }));
  const door = await scriptedHttp(t, async (request, response) => {
    const body = await bodyOf(request);
    if (steal) return void response.writeHead(307, { location: thief.origin }).end();
    const answer = await fetch(`${service.origin}/token`, { method: request.method ?? 'GET', body });
    response.end(await answer.text());
  });
  const server = await guarded(t, door, (token) => token === 'token-1');
  const options = { credentials: { kind: 'identity', token: 'hidden' } } as const;
  await sourceOf(t, server, options).manifest();
  const form = new URLSearchParams(service.bodies[0]);
  assert.deepEqual(
    [form.get('grant_type'), form.get('refresh_token'), form.get('scope'), form.get('service')],
    ['refresh_token', 'hidden', 'repository:a/b:pull', 'the service'],
  );
  assert.ok(door.requests.every(({ url }) => !url.includes('hidden')));
  steal = true;
  await assert.rejects(sourceOf(t, server, options).manifest(), { code: 'HTTP_REDIRECT' });
  assert.equal(thief.requests.length, 0);
});

test('a token that has ended in the middle is renewed once per request', async (t) => {
  const service = await tokenService(t);
  let good = 'token-1';
  const server = await guarded(t, service, (token) => token === good);
  const source = sourceOf(t, server, { credentials: USER });
  await source.manifest();
  good = 'token-2';
  await source.manifest();
  good = 'token-3';
  await source.manifest();
  assert.equal(service.requests.length, 3);
});

test('tokens that are never good end the request', async (t) => {
  const service = await tokenService(t);
  const server = await guarded(t, service, () => false);
  await assert.rejects(sourceOf(t, server, { credentials: USER }).manifest(), { code: 'UNAUTHORIZED', status: 401 });
  assert.equal(service.requests.length, 2);
});

test('a password that is wrong is not tried twice', async (t) => {
  const server = await scriptedRegistry(t, { basic: true });
  await assert.rejects(
    sourceOf(t, server, { credentials: { ...USER, password: 'hidden' } }).manifest(),
    (error: Error & { code?: string }) => {
      assert.equal(error.code, 'UNAUTHORIZED');
      assert.doesNotMatch(error.stack ?? '', /hidden/);
      assert.doesNotMatch(error.message, /podman login/);
      return true;
    },
  );
  assert.deepEqual(server.lines(), ['GET /v2/', 'GET /v2/a/b/manifests/latest']);
  await assert.rejects(sourceOf(t, server, { credentials: 'nobody' }).manifest(), {
    message: /nobody is logged in at 127.*podman login/,
  });
});

test('the challenge of the first answer serves for all: later ones may say nothing', async (t) => {
  const service = await tokenService(t);
  let first = true;
  const server = await scriptedRegistry(t, {
    bearer: { challenge: () => `Bearer realm="${service.origin}/token"`, accepts: (token) => token === 'token-2' },
    fault: (request, response) => {
      if (request.url === '/v2/' || request.headers.authorization === 'Bearer token-2') return false;
      first = false;
      response.writeHead(401).end();
      return true;
    },
  });
  server.addManifest({ schemaVersion: 2, layers: [] }, 'latest');
  await sourceOf(t, server, { credentials: USER }).manifest();
  assert.equal(first, false);
});

test('a challenge that comes late is heard', async (t) => {
  const service = await tokenService(t);
  const server = await scriptedRegistry(t, {
    bearer: { challenge: () => `Bearer realm="${service.origin}/token"`, accepts: (token) => token === 'token-1' },
    fault: (request, response) => request.url === '/v2/' && (response.end('{}'), true),
  });
  server.addManifest({ schemaVersion: 2, layers: [] }, 'latest');
  await sourceOf(t, server, { credentials: USER }).manifest();
  assert.equal(service.requests[0]?.headers.authorization, BASIC);
});

test('more access is asked for when the registry says what is missing', async (t) => {
  const service = await tokenService(t);
  const scope = 'repository:other/repo:pull';
  const server = await guarded(
    t,
    service,
    (token, request) => !request.url?.includes('mount=') || token === 'token-3',
    `,error="insufficient_scope",scope="${scope} repository:a/b:push,pull"`,
  );
  const digest = `sha256:${'3'.repeat(64)}`;
  const blob = {
    digest,
    size: 5,
    open: () => {
      throw new Error('it is not sent');
    },
  };
  const repository = destinationOf(t, server, { credentials: USER });
  assert.equal(await pushBlob(repository, blob, { mountFrom: { host: server.host, path: 'other/repo' } }), 'mounted');
  const scopes = service.requests.map(({ url }) => new URL(url, service.origin).searchParams.getAll('scope'));
  assert.deepEqual(scopes, [
    ['repository:a/b:pull,push'],
    ['repository:a/b:pull,push', scope],
    ['repository:a/b:pull,push', scope, 'repository:a/b:push,pull'],
  ]);
});

const REALMS: [name: string, realm: string, message: RegExp][] = [
  ['is not encrypted', 'http://auth.test/token', /not encrypted \(auth\.test\)/],
  ['is a file', 'file:///etc/passwd', /cannot be used/],
  ['has a password', 'https://u:p@auth.test/', /cannot be used/],
  ['is missing', '', /no URL/],
];
for (const [name, realm, message] of REALMS) {
  test(`a token service that ${name} gets no password`, async (t) => {
    const server = await scriptedRegistry(t, {
      tls: { key: fixture('tls/server.key'), cert: fixture('tls/server.crt') },
      bearer: { challenge: () => `Bearer realm="${realm}"`, accepts: () => false },
    });
    const root = new URL('../../../fixtures/tls', import.meta.url).pathname;
    const source = sourceOf(t, server, { credentials: USER, tlsVerify: true, ...(await certificates(t, root)) });
    await assert.rejects(source.manifest(), { code: 'REGISTRY_ANSWER', message });
  });
}

async function certificates(t: TestContext, root: string): Promise<{ certDir: string }> {
  const { scratch } = await import('../support/scratch.js');
  const { readFileSync } = await import('node:fs');
  return { certDir: scratch(t, { 'ca.crt': readFileSync(`${root}/ca.crt`) }) };
}

const BAD_ANSWERS: [name: string, body: unknown, code: string][] = [
  ['no token', {}, 'REGISTRY_ANSWER'],
  ['a token that would be two headers', { token: 'a\r\nX-Evil: b' }, 'REGISTRY_ANSWER'],
  ['a number', { token: 7 }, 'REGISTRY_ANSWER'],
  ['status 403', 403, 'UNAUTHORIZED'],
  ['status 401', 401, 'UNAUTHORIZED'],
];
for (const [name, body, code] of BAD_ANSWERS) {
  test(`a token service answers with ${name}`, async (t) => {
    const service = await tokenService(t, () => body);
    const server = await guarded(t, service, () => false);
    await assert.rejects(sourceOf(t, server, { credentials: USER }).manifest(), { code, host: service.host });
  });
}

const LIVES: [name: string, answer: object, seconds: number][] = [
  ['no length of life', {}, 60],
  ['a short life', { expires_in: 5 }, 60],
  ['an hour', { expires_in: 3600 }, 3600],
  ['a clock that is ahead', { expires_in: 300, issued_at: '2030-01-01T00:00:00Z' }, 300],
  ['a token made earlier', { expires_in: 300, issued_at: '2025-12-31T23:59:00Z' }, 240],
  ['nonsense', { expires_in: 'soon', issued_at: 5 }, 60],
];
for (const [name, answer, seconds] of LIVES) {
  test(`a token with ${name} lives ${seconds} s`, async (t) => {
    const service = await tokenService(t, (_, token) => ({ token, ...answer }));
    await using client = new HttpClient({ agent: 'test', env: {} });
    const now = Date.parse('2026-01-01T00:00:00Z');
    const token = await fetchToken(
      client,
      'test',
      { realm: new URL(service.origin), service: undefined, scopes: [], credentials: undefined },
      () => now,
    );
    assert.equal((token.renewAt - now) / 1000, seconds - 10);
  });
}

const CHALLENGES: [header: string, expected: [string, Record<string, string>][]][] = [
  ['Basic realm="x"', [['basic', { realm: 'x' }]]],
  [
    'Bearer realm="https://a/t",service="s,s",scope="repository:a:pull,push"',
    [['bearer', { realm: 'https://a/t', service: 's,s', scope: 'repository:a:pull,push' }]],
  ],
  [
    'Basic realm="a\\"b", BEARER Realm=plain , error=insufficient_scope',
    [
      ['basic', { realm: 'a"b' }],
      ['bearer', { realm: 'plain', error: 'insufficient_scope' }],
    ],
  ],
  [
    'Negotiate, Bearer realm="x"',
    [
      ['negotiate', {}],
      ['bearer', { realm: 'x' }],
    ],
  ],
  ['Bearer realm="x",realm="y"', [['bearer', { realm: 'x' }]]],
  ['Bearer realm="never ends', [['bearer', {}]]],
  ['', []],
  [',,,', []],
];
for (const [header, expected] of CHALLENGES) {
  test(`reads ${header}`, () =>
    assert.deepEqual(
      parseChallenges([header]).map(({ scheme, parameters }) => [scheme, Object.fromEntries(parameters)]),
      expected,
    ));
}
