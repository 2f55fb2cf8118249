import assert from 'node:assert/strict';
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test, type TestContext } from 'node:test';
import type { Checksum } from '../../../src/ostree/object/checksum.js';
import type { PulledCommit } from '../../../src/ostree/pull/pull.js';
import { pullRemoteCommit, type PullRemoteOptions } from '../../../src/ostree/http/pull-remote.js';
import { OstreeRemote, type RemoteOptions } from '../../../src/ostree/http/remote.js';
import { readCommitRef, writeCommitRef } from '../../../src/ostree/refs.js';
import { readCommit } from '../../../src/ostree/stream/read-commit.js';
import { parseEd25519Keys } from '../../../src/ostree/verify/signature-check.js';
import { publicKeysIn } from '../../../src/registry/policy/openpgp-keys.js';
import { initRepository } from '../../../src/repository/init.js';
import { Repository } from '../../../src/repository/repository.js';
import { fastFolder } from '../../support/fast-folder.js';
import { writeArchive } from '../../support/images/ostree-archive.js';
import { cfsbridge } from '../../support/cli/run-cli.js';
import { fixture, fixtureJson } from '../../support/fixtures.js';
import { withoutLeak } from '../../support/open-fds.js';
import { archiveServer } from '../../support/ostree/archive-server.js';
import { emptyRepository as newRepository } from '../../support/ostree/empty-repository.js';
import { recordedRepositories } from '../../support/ostree/recorded-repositories.js';
import { scriptedHttp } from '../../support/servers/scripted-http.js';

const scratch = mkdtempSync(join(fastFolder, 'cfsbridge-test-'));
after(() => rmSync(scratch, { recursive: true, force: true }));

/** The recorded repositories with deltas, with pages over HTTP, and with signatures. */
let deltas: string;
let web: string;
let signed: string;
before((t) => {
  [deltas, web, signed] = ['deltas', 'http', 'signatures'].map((name) =>
    recordedRepositories(t as TestContext, name),
  ) as [string, string, string];
});

const { commits } = fixtureJson<{ commits: Record<string, Checksum> }>('ostree/deltas/case.json');
const [A, B] = [commits['d/a']!, commits['d/b']!];
const WEB = 'web/app/stable';

async function emptyRepository(t: TestContext): Promise<Repository> {
  return await newRepository(t, mkdtempSync(join(scratch, 'repository-')));
}

async function pull(
  repository: Repository,
  url: string,
  ref: string,
  options: PullRemoteOptions & { remote?: RemoteOptions } = {},
): Promise<PulledCommit> {
  return await withoutLeak(async () => {
    await using remote = new OstreeRemote(url, { retryMs: 1, credentials: 'nobody', ...options.remote });
    return await pullRemoteCommit(repository, remote, ref, options);
  });
}

async function chunkOf(repository: Repository, commit: Checksum): Promise<Buffer> {
  return (await readCommit(repository, commit)).objects.whole.bytes;
}

for (const [name, needs] of [
  ['scratch-b', false],
  ['scratch-fallback', false],
  ['scratch-chunks', false],
  ['diff', true],
  ['diff-inline', true],
  ['diff-fallback', true],
  ['diff-signed-dummy', true],
] as const)
  test(`delta ${name} brings the commit that objects would`, async (t) => {
    const repository = await emptyRepository(t);
    const server = await archiveServer(t, [`${deltas}/d/${name}`, `${deltas}/archive`]);
    if (needs) await pull(repository, server.url, A, { deltas: false });
    const before = server.requests.length;
    const pulled = await pull(repository, server.url, 'd/b');
    assert.ok(pulled.deltaParts !== undefined && pulled.deltaParts > 0);
    assert.deepEqual([pulled.commit, pulled.metadata, pulled.files], [B, ...(needs ? [9, 18] : [11, 38])]);
    const objects = server
      .lines()
      .slice(before)
      .filter((line) => line.includes('/objects/'));
    assert.equal(objects.length, { 'scratch-fallback': 2, 'diff-fallback': 1 }[name as string] ?? 0);
    assert.deepEqual(await chunkOf(repository, B), fixture(`ostree/deltas/chunk.sha512.${B.slice(0, 12)}.bin`));
    const again = await pull(repository, server.url, 'd/b');
    assert.deepEqual([again.metadata, again.files], [0, 0]);
  });

test('object by object, what the commit of the ref before has is not fetched', async (t) => {
  const repository = await emptyRepository(t);
  const server = await archiveServer(t, [`${deltas}/archive`]);
  await pull(repository, server.url, 'd/a');
  writeCommitRef(repository, 'd/b', A);
  const before = server.requests.length;
  const pulled = await pull(repository, server.url, 'd/b');
  assert.deepEqual([pulled.metadata, pulled.files], [9, 18]);
  assert.equal(
    server
      .lines()
      .slice(before)
      .filter((line) => line.includes('/objects/')).length,
    27,
  );
  assert.equal(readCommitRef(repository, 'd/b'), B);
  assert.deepEqual(await chunkOf(repository, B), fixture(`ostree/deltas/chunk.sha512.${B.slice(0, 12)}.bin`));
});

for (const [what, path, commit, options] of [
  ['the beginning of a delta', /superblock$/, 'd/b', {}],
  ['a part of a delta', /\/2$/, 'd/b', {}],
] as const)
  test(`when ${what} is not there, objects come instead`, async (t) => {
    const repository = await emptyRepository(t);
    const server = await archiveServer(t, [`${deltas}/d/scratch-chunks`, `${deltas}/archive`], (request, response) => {
      if (!path.test(request.url ?? '')) return false;
      response.writeHead(404).end();
      return true;
    });
    const pulled = await pull(repository, server.url, commit, options);
    assert.equal(pulled.deltaParts, undefined);
    assert.deepEqual([pulled.metadata, pulled.files], [11, 38]);
    assert.ok(server.lines().some((line) => line.includes('.filez')));
  });

test('after a part with the wrong checksum nothing else is fetched, and nothing has a name', async (t) => {
  const repository = await emptyRepository(t);
  const server = await archiveServer(t, [`${deltas}/d/scratch-b`, `${deltas}/archive`], (request, response) => {
    if (!(request.url ?? '').endsWith('/0')) return false;
    const bytes = readFileSync(`${deltas}/d/scratch-b/${(request.url ?? '').slice('/repo/'.length)}`);
    bytes[bytes.length - 1]! ^= 1;
    response.end(bytes);
    return true;
  });
  await assert.rejects(pull(repository, server.url, 'd/b'), { code: 'DIGEST_MISMATCH' });
  assert.ok(!server.lines().some((line) => line.includes('/objects/')));
  assert.deepEqual(
    repository.listStreams().filter((name) => name.startsWith('ostree-commit')),
    [],
  );
});

test('a connection that breaks off is followed by one that asks for the rest', async (t) => {
  const repository = await emptyRepository(t);
  let cut = 0;
  const server = await archiveServer(t, [`${web}/archive`], (request, response) => {
    if (!(request.url ?? '').endsWith('.filez') || request.headers.range !== undefined || cut >= 3) return false;
    const bytes = readFileSync(`${web}/archive/${(request.url ?? '').slice('/repo/'.length)}`);
    cut++;
    response.setHeader('content-length', bytes.length);
    response.write(bytes.subarray(0, 5), () => response.socket?.end());
    return true;
  });
  const pulled = await pull(repository, server.url, WEB);
  assert.deepEqual([pulled.metadata, pulled.files], [4, 3]);
  assert.equal(server.requests.filter(({ headers }) => headers.range === 'bytes=5-').length, 3);
});

test('what arrived before a pull was ended is not fetched by the next one, which believes none of it', async (t) => {
  const repository = await emptyRepository(t);
  let files = 0;
  const server = await archiveServer(t, [`${deltas}/archive`], (request, response) => {
    if (!(request.url ?? '').endsWith('.filez') || ++files <= 20) return false;
    response.writeHead(403).end();
    return true;
  });
  await assert.rejects(pull(repository, server.url, 'd/b'), { code: 'OSTREE_STATUS' });
  const served = new Set(server.lines().filter((line) => /\.(?:commit|dirtree|dirmeta)$/.test(line)));
  assert.equal(served.size, 11);
  files = -1000;
  const before = server.requests.length;
  const pulled = await pull(repository, server.url, 'd/b');
  assert.deepEqual([pulled.metadata, pulled.files], [11, 38]);
  const again = server
    .lines()
    .slice(before)
    .filter((line) => line.includes('/objects/'));
  assert.ok(again.length <= 38 - 15 && again.every((line) => line.endsWith('.filez')), again.join('\n'));
  assert.deepEqual(await chunkOf(repository, B), fixture(`ostree/deltas/chunk.sha512.${B.slice(0, 12)}.bin`));
  assert.deepEqual(
    readdirSync(repository.path).filter((name) => name.startsWith('.partial')),
    [],
  );
});

test('of a pull that is killed in its middle hardly a file is fetched twice', async (t) => {
  const source = mkdtempSync(join(scratch, 'many-'));
  const files = Object.fromEntries(Array.from({ length: 1200 }, (_, i) => [`f${i}`, `${i}`.repeat(100)]));
  const [commit] = writeArchive(source, { many: files });
  const repository = mkdtempSync(join(scratch, 'repository-'));
  initRepository(repository, { insecure: true });
  const served: string[] = [];
  let child: ChildProcess | undefined;
  let mayLive = false;
  const server = await archiveServer(t, [source], (request) => {
    if (!(request.url ?? '').endsWith('.filez')) return;
    served.push(request.url!);
    if (served.length === 600 && !mayLive) child?.kill('SIGKILL');
  });
  const pullOnce = async (): Promise<number | null> => {
    child = spawn(cfsbridge, ['--repo', repository, 'ostree', 'pull', server.url, 'many'], { stdio: 'ignore' });
    await once(child, 'exit');
    return child.exitCode;
  };
  assert.equal(await pullOnce(), null);
  const before = new Set(served.splice(0));
  assert.ok(before.size >= 600 && before.size < 700, `${before.size}`);
  mayLive = true;
  assert.equal(await pullOnce(), 0);
  const twice = served.filter((url) => before.has(url));
  // Of those that were on their way nobody knows.
  assert.ok(twice.length < 60, `${twice.length} of ${before.size}`);
  assert.equal(served.length + before.size - twice.length, 1200);
  using opened = await Repository.open(repository);
  assert.equal((await readCommit(opened, commit!)).objects.count, 1203);
});

const FAULTS: readonly [what: string, path: RegExp, status: number, body: string | undefined, code: string][] = [
  ['a file is not there', /\.filez$/, 404, '', 'NOT_FOUND'],
  ['a folder is not there', /\.dirtree$/, 404, '', 'NOT_FOUND'],
  ['the server cannot give an object', /\.filez$/, 503, '', 'OSTREE_STATUS'],
  ['the server forbids a summary', /\/summary$/, 403, '', 'OSTREE_STATUS'],
  ['a folder is another', /\.dirtree$/, 200, 'x', 'DIGEST_MISMATCH'],
  ['a commit is empty', /\.commit$/, 200, '', 'DIGEST_MISMATCH'],
  ['a file is a page', /\.filez$/, 200, '<html>it works</html>', 'OSTREE_OBJECT'],
  ['a ref is a page', /\/refs\//, 200, '<html>', 'OSTREE_REPOSITORY'],
  ['a ref is cut', /\/refs\//, 200, 'ab'.repeat(20), 'OSTREE_REPOSITORY'],
  ['a ref is very long', /\/refs\//, 200, 'a'.repeat(100_000), 'OSTREE_REPOSITORY'],
  ['an index of deltas is a page', /\.index$/, 200, '<html>', 'OSTREE_GVARIANT'],
];

for (const [what, path, status, body, code] of FAULTS)
  test(`when ${what}, the pull fails with ${code} and nothing has a name`, async (t) => {
    const repository = await emptyRepository(t);
    const server = await archiveServer(t, [`${web}/archive`], (request, response) => {
      if (!path.test(request.url ?? '')) return false;
      response.writeHead(status).end(body);
      return true;
    });
    await assert.rejects(pull(repository, server.url, WEB), { code });
    assert.deepEqual(repository.listStreams(), []);
    assert.equal(readCommitRef(repository, WEB), undefined);
  });

test('a summary that did not change is not sent again, and no other server answers for it', async (t) => {
  const repository = await emptyRepository(t);
  const tagged = async (folder: string) =>
    archiveServer(t, [`${web}/s/${folder}`, `${web}/archive`], (request, response) => {
      if (!(request.url ?? '').endsWith('/summary')) return false;
      response.setHeader('etag', '"one"');
      const known = request.headers['if-none-match'] === '"one"';
      response.writeHead(known ? 304 : 200).end(known ? undefined : readFileSync(`${web}/s/${folder}/summary`));
      return true;
    });
  const [one, other] = [await tagged('plain'), await tagged('other')];
  const first = await pull(repository, one.url, WEB);
  const second = await pull(repository, one.url, WEB);
  assert.equal(one.requests.filter(({ headers }) => headers['if-none-match'] === '"one"').length, 1);
  assert.equal(second.commit, first.commit);
  assert.notEqual((await pull(repository, other.url, WEB)).commit, first.commit);
});

test('passwords and headers go to the server that was named, and not to where it sends', async (t) => {
  const repository = await emptyRepository(t);
  const elsewhere = await archiveServer(t, [`${web}/archive`]);
  const server = await scriptedHttp(t, (request, response) => {
    if (request.headers.authorization !== `Basic ${Buffer.from('me:secret').toString('base64')}`)
      response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end();
    else response.writeHead(302, { location: `${elsewhere.origin}${request.url}` }).end();
  });
  const remote: RemoteOptions = {
    credentials: { kind: 'basic', username: 'me', password: 'secret' },
    headers: { 'x-token': 'mine' },
  };
  const pulled = await pull(repository, `${server.origin}/repo`, WEB, { remote });
  assert.equal(pulled.files, 3);
  assert.ok(server.requests.every(({ headers }) => headers['x-token'] === 'mine'));
  assert.ok(elsewhere.requests.length > 5);
  for (const { headers } of elsewhere.requests)
    assert.deepEqual([headers.authorization, headers['x-token']], [undefined, undefined]);
});

test('what is no URL of one repository is refused by name', () => {
  for (const url of ['mirrorlist=https://example.com/list', '/srv/repo', 'ftp://example.com/', 'example.com/repo'])
    assert.throws(() => new OstreeRemote(url), { code: 'BAD_URL' });
  assert.throws(() => new OstreeRemote('mirrorlist=https://example.com/list'), /mirrors/);
});

test('refs that lead elsewhere are not asked for', async (t) => {
  const repository = await emptyRepository(t);
  const server = await archiveServer(t, [`${web}/archive`]);
  for (const ref of ['../../config', 'a//b', '/a', '.', ''])
    await assert.rejects(pull(repository, server.url, ref), { code: 'INVALID_NAME' });
  assert.deepEqual(server.requests, []);
});

function key(name: 'one' | 'two'): Buffer[] {
  return parseEd25519Keys(readFileSync(`${signed}/keys/ed25519-${name}.pub`, 'latin1'), name);
}

for (const [ref, name, code] of [
  ['sig/ed', 'one', undefined],
  ['sig/two', 'one', undefined],
  ['sig/two', 'two', undefined],
  ['sig/ed', 'two', 'OSTREE_SIGNATURE'],
  ['sig/dummy', 'one', 'OSTREE_SIGNATURE'],
  ['sig/gpg', 'one', 'OSTREE_SIGNATURE'],
  ['sig/unsigned', 'one', 'OSTREE_SIGNATURE'],
  ['sig/wrong', 'one', 'OSTREE_SIGNATURE'],
] as const)
  test(`with key ${name}, ${ref} is ${code === undefined ? 'taken' : 'refused'}`, async (t) => {
    const repository = await emptyRepository(t);
    const server = await archiveServer(t, [`${signed}/archive`]);
    const pulled = pull(repository, server.url, ref, { keys: { ed25519: key(name) } });
    if (code === undefined) assert.equal((await pulled).files, 2);
    else {
      await assert.rejects(pulled, { code });
      assert.ok(!server.lines().some((line) => line.includes('.filez')));
      assert.deepEqual(repository.listStreams(), []);
      // One that is there has to be signed as well.
      await pull(repository, server.url, ref);
      await assert.rejects(pull(repository, server.url, ref, { keys: { ed25519: key(name) } }), { code });
    }
  });

const noGpgv = spawnSync('gpgv', ['--version']).error === undefined ? false : 'gpgv is not installed';

for (const [ref, code] of [
  ['sig/gpg', undefined],
  ['sig/ed', 'OSTREE_SIGNATURE'],
  ['sig/unsigned', 'OSTREE_SIGNATURE'],
] as const)
  test(`with an OpenPGP key, ${ref} is ${code === undefined ? 'taken' : 'refused'}`, { skip: noGpgv }, async (t) => {
    const repository = await emptyRepository(t);
    const server = await archiveServer(t, [`${signed}/s/gpg`, `${signed}/archive`]);
    const gpg = publicKeysIn(readFileSync(`${signed}/keys/gpg.pub.asc`), 'gpg.pub.asc');
    const pulled = pull(repository, server.url, ref, { keys: { gpg } });
    if (code === undefined) assert.equal((await pulled).files, 2);
    else await assert.rejects(pulled, { code });
  });

test('a signature of a key that is not in the keyring is refused', { skip: noGpgv }, async (t) => {
  const repository = await emptyRepository(t);
  const server = await archiveServer(t, [`${signed}/archive`]);
  const other = publicKeysIn(fixture('policy/stranger.asc'), 'other');
  await assert.rejects(pull(repository, server.url, 'sig/gpg', { keys: { gpg: other } }), { code: 'OSTREE_SIGNATURE' });
});

for (const [folder, code] of [
  ['ed', undefined],
  ['ed-bad', 'OSTREE_SIGNATURE'],
  ['gpg', 'OSTREE_SIGNATURE'],
] as const)
  test(`summary ${folder} is ${code === undefined ? 'believed' : 'refused'}`, async (t) => {
    const repository = await emptyRepository(t);
    const server = await archiveServer(t, [`${signed}/s/${folder}`, `${signed}/archive`]);
    const pulled = pull(repository, server.url, 'sig/ed', { keys: { ed25519: key('one') } });
    if (code === undefined) await pulled;
    else await assert.rejects(pulled, { code });
  });

test('a signed commit is refused under another name, and one that is older than what the name is', async (t) => {
  const repository = await emptyRepository(t);
  let answer = 'sig/two';
  const server = await archiveServer(t, [`${signed}/archive`], (request, response) => {
    if (!/\/refs\//.test(request.url ?? '')) return false;
    response.end(readFileSync(`${signed}/archive/refs/heads/${answer}`));
    return true;
  });
  const keys = { ed25519: key('one') };
  await assert.rejects(pull(repository, server.url, 'sig/ed', { keys }), { code: 'OSTREE_BINDING' });
  answer = 'sig/ed';
  await pull(repository, server.url, 'sig/ed', { keys });
  await assert.rejects(pull(repository, server.url, 'sig/ed', { keys, collection: 'org.example.Other' }), {
    code: 'OSTREE_BINDING',
  });
});
