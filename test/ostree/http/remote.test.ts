import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { test, type TestContext } from 'node:test';
import { pullRemoteCommit } from '../../../src/ostree/http/pull-remote.js';
import { OstreeRemote, type RemoteOptions } from '../../../src/ostree/http/remote.js';
import { initRepository } from '../../../src/repository/init.js';
import { Repository } from '../../../src/repository/repository.js';
import { runCli } from '../../support/cli/run-cli.js';
import { startCli, type Ended } from '../../support/cli/start-cli.js';
import { fixture } from '../../support/fixtures.js';
import { writeArchive } from '../../support/images/ostree-archive.js';
import { withoutLeak } from '../../support/open-fds.js';
import { archiveServer } from '../../support/ostree/archive-server.js';
import { scratch } from '../../support/scratch.js';
import { scriptedHttp, type Handler, type ScriptedServer } from '../../support/servers/scripted-http.js';

const REF = 'web/stable';
const TLS = { key: fixture('tls/server.key'), cert: fixture('tls/server.crt') };
const BASIC = `Basic ${Buffer.from('me:secret').toString('base64')}`;

interface Scene {
  folder: string;
  archive: string;
  /** by the command, with nothing configured but what `env` says */
  pull(url: string, options?: readonly string[], env?: NodeJS.ProcessEnv): Promise<Ended>;
}

function scene(t: TestContext): Scene {
  const folder = scratch(t);
  const archive = join(folder, 'archive');
  writeArchive(archive, { [REF]: { 'usr/file': 'content '.repeat(50), 'usr/large': 'x'.repeat(3 << 20) } });
  const repository = ['--repo', join(folder, 'repository')];
  assert.equal(runCli([...repository, 'init', '--insecure']).status, 0);
  const nothing = { HOME: folder, XDG_CONFIG_HOME: '', XDG_RUNTIME_DIR: '', REGISTRY_AUTH_FILE: '' };
  const pull: Scene['pull'] = (url, options = [], env = {}) =>
    startCli([...repository, 'ostree', 'pull', url, REF, ...options], { ...nothing, ...env }).ended;
  return { folder, archive, pull };
}

function succeeded({ status, stderr, stdout }: Ended): void {
  assert.equal(status, 0, stderr);
  assert.match(stdout, /^tagged {2}web\/stable$/m);
}

function failed({ status, stderr }: Ended, message: RegExp): void {
  assert.equal(status, 1, stderr);
  assert.match(stderr, message);
  assert.doesNotMatch(stderr, /secret/);
}

/** Serves the archive to whoever may pass. */
async function guarded(
  t: TestContext,
  archive: string,
  mayPass: (...args: Parameters<Handler>) => boolean,
): Promise<ScriptedServer & { url: string }> {
  return await archiveServer(t, [archive], (request, response, number) => {
    if (mayPass(request, response, number)) return false;
    response.writeHead(401, { 'www-authenticate': 'Basic realm="repo"' }).end();
    return true;
  });
}

/** A proxy that notes what it is asked for; everything goes to one server. */
async function startProxy(t: TestContext, target: ScriptedServer): Promise<{ url: string; asked: string[] }> {
  const asked: string[] = [];
  const [, port] = target.host.split(':');
  const pass: Handler = async (request, response) => {
    asked.push(`${request.method} ${request.url} ${request.headers['proxy-authorization'] ?? ''}`.trim());
    const answer = await fetch(`${target.origin}${new URL(request.url ?? '').pathname}`);
    response.writeHead(answer.status).end(Buffer.from(await answer.arrayBuffer()));
  };
  const proxy = createServer((request, response) => {
    Promise.resolve(pass(request, response, 0)).catch(() => response.destroy());
  });
  proxy.on('connect', (request, socket) => {
    asked.push(`CONNECT ${request.url} ${request.headers['proxy-authorization'] ?? ''}`.trim());
    const upstream = connect(Number(port), '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n');
      socket.pipe(upstream).pipe(socket);
    });
    for (const end of [socket, upstream]) end.on('error', () => undefined);
  });
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  t.after(() => {
    proxy.closeAllConnections();
    proxy.close();
  });
  return { url: `http://me:secret@127.0.0.1:${(proxy.address() as AddressInfo).port}`, asked };
}

test('all requests go to the proxy that http_proxy names, unless no_proxy has the host', async (t) => {
  const { archive, pull } = scene(t);
  const server = await archiveServer(t, [archive]);
  const proxy = await startProxy(t, server);
  succeeded(await pull('http://ostree.test/repo', [], { http_proxy: proxy.url, no_proxy: 'other.test' }));
  assert.ok(proxy.asked.length > 5);
  for (const line of proxy.asked) assert.match(line, new RegExp(`^GET http://ostree\\.test/repo/.* ${BASIC}$`));
  assert.equal(server.requests.length, proxy.asked.length);
  const before = proxy.asked.length;
  failed(
    await pull('http://ostree.test/repo', [], { http_proxy: proxy.url, no_proxy: '.test,ostree.test' }),
    /ostree\.test/,
  );
  assert.equal(proxy.asked.length, before);
});

test('through the proxy that https_proxy names there is a tunnel, and the server shows its own certificate', async (t) => {
  const { folder, archive, pull } = scene(t);
  mkdirSync(join(folder, 'certs'));
  writeFileSync(join(folder, 'certs/ca.crt'), fixture('tls/ca.crt'));
  const server = await archiveServer(t, [archive], undefined, TLS);
  const proxy = await startProxy(t, server);
  const url = 'https://registry.test/repo';
  const env = { https_proxy: proxy.url, http_proxy: 'http://127.0.0.1:1' };
  failed(await pull(url, [], env), /certificate/);
  succeeded(await pull(url, ['--cert-dir', join(folder, 'certs')], env));
  assert.ok(proxy.asked.length > 0);
  for (const line of proxy.asked) assert.equal(line, `CONNECT registry.test:443 ${BASIC}`);
});

test('a proxy that is not there, or says no, is named without its password', async (t) => {
  const { pull } = scene(t);
  const refusing = await scriptedHttp(t, (_, response) => void response.writeHead(407).end());
  const url = 'http://ostree.test/repo';
  failed(await pull(url, [], { http_proxy: `http://me:secret@${refusing.host}` }), /407/);
  failed(await pull(url, [], { http_proxy: 'http://me:secret@127.0.0.1:1' }), /ostree\.test|127\.0\.0\.1:1/);
  failed(await pull(url, [], { http_proxy: 'socks5://me:secret@127.0.0.1:1' }), /http_proxy/);
});

test('a private authority is believed when --cert-dir has it, any when --tls-verify is false', async (t) => {
  const { folder, archive, pull } = scene(t);
  const server = await archiveServer(t, [archive], undefined, TLS);
  mkdirSync(join(folder, 'certs'));
  failed(await pull(server.url), /certificate/);
  failed(await pull(server.url, ['--cert-dir', join(folder, 'certs')]), /certificate/);
  failed(await pull(server.url, ['--cert-dir', join(folder, 'none')]), /there is no folder/);
  assert.deepEqual(server.requests, []);
  writeFileSync(join(folder, 'certs/ca.crt'), fixture('tls/ca.crt'));
  succeeded(await pull(server.url, ['--cert-dir', join(folder, 'certs')]));
  succeeded(await pull(server.url, ['--tls-verify', 'false']));
});

test('the certificates of certs.d are those of registries', async (t) => {
  const { folder, archive, pull } = scene(t);
  const server = await archiveServer(t, [archive], undefined, TLS);
  const certs = join(folder, '.config/containers/certs.d', server.host);
  mkdirSync(certs, { recursive: true });
  writeFileSync(join(certs, 'ca.crt'), fixture('tls/ca.crt'));
  succeeded(await pull(server.url));
});

test('a certificate is shown to a server that asks for one', async (t) => {
  const { folder, archive, pull } = scene(t);
  const asking = { ...TLS, ca: fixture('tls/ca.crt'), requestCert: true, rejectUnauthorized: true };
  const server = await archiveServer(t, [archive], undefined, asking);
  const certs = join(folder, 'certs');
  mkdirSync(certs);
  writeFileSync(join(certs, 'ca.crt'), fixture('tls/ca.crt'));
  failed(await pull(server.url, ['--cert-dir', certs]), /127\.0\.0\.1/);
  assert.deepEqual(server.requests, []);
  writeFileSync(join(certs, 'me.cert'), fixture('tls/client.crt'));
  failed(await pull(server.url, ['--cert-dir', certs]), /has no me\.key beside it/);
  writeFileSync(join(certs, 'me.key'), fixture('tls/client.key'));
  succeeded(await pull(server.url, ['--cert-dir', certs]));
});

test('headers that were asked for go with every request', async (t) => {
  const { archive, pull } = scene(t);
  const server = await archiveServer(t, [archive]);
  succeeded(await pull(server.url, ['--header', 'X-Token: a b', '--header', 'authorization: Bearer mine']));
  assert.ok(server.requests.length > 5);
  for (const { headers } of server.requests)
    assert.deepEqual([headers['x-token'], headers.authorization], ['a b', 'Bearer mine']);
  for (const header of ['no-colon', 'a b: c', 'x: a\r\ny: b']) {
    const { status, stderr } = await pull(server.url, ['--header', header]);
    assert.equal(status, 2, stderr);
  }
});

test('passwords come from the URL, --creds or a file, and go to servers that ask for one', async (t) => {
  const { folder, archive, pull } = scene(t);
  const server = await guarded(t, archive, ({ headers }) => headers.authorization === BASIC);
  const withPassword = server.url.replace('//', '//me:secret@');
  succeeded(await pull(withPassword));
  // What is known of the server after the first answer is not asked for again.
  assert.equal(server.requests.filter(({ headers }) => headers.authorization === undefined).length, 1);
  succeeded(await pull(server.url, ['--creds', 'me:secret']));
  const file = join(folder, 'auth.json');
  const auth = Buffer.from('me:secret').toString('base64');
  writeFileSync(file, JSON.stringify({ auths: { [server.host]: { auth } } }));
  succeeded(await pull(server.url, ['--authfile', file]));
  succeeded(await pull(server.url, [], { REGISTRY_AUTH_FILE: file }));
  failed(await pull(server.url), /status 401/);
  failed(await pull(server.url.replace('//', '//you:secret@')), /status 401/);
  failed(await pull(server.url, ['--no-creds'], { REGISTRY_AUTH_FILE: file }), /status 401/);
});

for (const status of [408, 429, 500, 502, 503, 504])
  test(`status ${status} is answered by patience, of an object and of a ref`, async (t) => {
    const refused = new Set<string>();
    await pulled(t, (request, response) => {
      if (refused.has(request.url!)) return false;
      refused.add(request.url!);
      response.writeHead(status, { 'retry-after': '0' }).end();
      return true;
    });
    assert.ok(refused.size > 5);
  });

for (const status of [401, 403, 500, 503])
  test(`status ${status} that stays is an error that names the object`, async (t) => {
    const asked: string[] = [];
    const isIt = /\.dirtree$/;
    await assert.rejects(
      pulled(t, (request, response) => {
        if (!isIt.test(request.url!)) return false;
        asked.push(request.url!);
        response.writeHead(status).end();
        return true;
      }),
      { code: 'OSTREE_STATUS', message: new RegExp(`/objects/../[0-9a-f]{62}\\.dirtree: .*status ${status}`) },
    );
    assert.equal(asked.length, status < 500 ? 1 : 3);
  });

test('a server that falls silent is asked again for the rest, and then given up', async (t) => {
  let silent = 0;
  const stall: Handler = (request, response) => {
    const bytes = readFileSync(request.url!.replace(/^\/repo\//, `${archives.get(t)}/`));
    response.setHeader('content-length', bytes.length);
    response.write(bytes.subarray(0, 20));
    silent++;
  };
  const isIt = (url: string): boolean => url.endsWith('.filez');
  await pulled(t, (request, response, number) => {
    if (!isIt(request.url!) || request.headers.range !== undefined) return false;
    void stall(request, response, number);
    return true;
  });
  assert.equal(silent, 2);
  await assert.rejects(
    pulled(t, (request, response, number) => {
      if (!isIt(request.url!)) return false;
      if (number % 2 === 0) void stall(request, response, number);
      return true;
    }),
    { code: 'HTTP_IDLE' },
  );
});

test('of files that are long one is read at a time, however many are asked for', async (t) => {
  const MEBI = 1 << 20;
  const size = 64 * MEBI;
  const sent = [0, 0];
  const piece = Buffer.alloc(MEBI);
  let release = (): void => undefined;
  const released = new Promise<void>((resolve) => (release = resolve));
  const { origin } = await scriptedHttp(t, async (request, response) => {
    const which = Number(request.url!.slice(1));
    response.setHeader('content-length', size);
    for (; sent[which]! < size; sent[which]! += MEBI) {
      if (which === 0 && sent[0] === 8 * MEBI) await released;
      if (!response.write(piece)) await once(response, 'drain');
    }
    response.end();
  });
  await using remote = new OstreeRemote(origin, { credentials: 'nobody' });
  const { signal } = new AbortController();
  const first = remote.bytes('0', size, signal);
  while (sent[0]! < 8 * MEBI) await sleep(5);
  const second = remote.bytes('1', size, signal);
  // It stands still where one that is read would not.
  for (let before = -1; before !== sent[1] || before === 0; await sleep(500)) before = sent[1]!;
  assert.ok(sent[1]! < size / 2, `${sent[1]} bytes were taken`);
  release();
  assert.equal((await first)?.length, size);
  assert.equal((await second)?.length, size);
});

const archives = new WeakMap<TestContext, string>();

/** Pulls in this process, where a test need not wait for as long as a person would. */
async function pulled(
  t: TestContext,
  first: (...args: Parameters<Handler>) => boolean | void,
  remoteOptions: RemoteOptions = {},
): Promise<void> {
  const folder = scratch(t);
  const archive = join(folder, 'archive');
  archives.set(t, archive);
  writeArchive(archive, { [REF]: { 'usr/file': 'content '.repeat(50), 'usr/large': 'x'.repeat(3 << 20) } });
  initRepository(join(folder, 'repository'), { insecure: true });
  const { url } = await archiveServer(t, [archive], first);
  using repository = await Repository.open(join(folder, 'repository'), { write: true });
  void repository.objects;
  await withoutLeak(async () => {
    await using remote = new OstreeRemote(url, { retryMs: 1, idleMs: 400, credentials: 'nobody', ...remoteOptions });
    await pullRemoteCommit(repository, remote, REF);
  });
}
