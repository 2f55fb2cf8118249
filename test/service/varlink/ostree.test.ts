// Commits of ostree over varlink: what each method does, by a client of the same package.
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { listCommitObjects } from '../../../src/ostree/list-objects.js';
import { listCommitRefs } from '../../../src/ostree/refs.js';
import { parseCommit } from '../../../src/ostree/object/commit.js';
import { readCommit } from '../../../src/ostree/stream/read-commit.js';
import { Repository } from '../../../src/repository/repository.js';
import { ostreeMethods, type PullCommitFrame } from '../../../src/rpc/contracts/ostree.js';
import { repositoryMethods } from '../../../src/rpc/contracts/repository.js';
import type { VarlinkConnection } from '../../../src/rpc/varlink/client.js';
import { serviceMethods } from '../../../src/rpc/varlink/service-interface.js';
import { VarlinkRemoteError } from '../../../src/rpc/varlink/varlink-error.js';
import { runCli } from '../../support/cli/run-cli.js';
import { fixture } from '../../support/fixtures.js';
import { writeArchive } from '../../support/images/ostree-archive.js';
import { withoutLeak } from '../../support/open-fds.js';
import { archiveServer } from '../../support/ostree/archive-server.js';
import { recordedRepositories } from '../../support/ostree/recorded-repositories.js';
import { openHandle, RepositoryServer } from '../../support/servers/repository-server.js';

const NAME = 'org.composefs.bridge.Ostree';

let server: RepositoryServer;
let client: VarlinkConnection;
let archive: string;
let web: string;
let other: string;

before(async () => {
  server = await RepositoryServer.start();
  client = await server.client();
  archive = join(server.folder, 'archive');
  [web, other] = writeArchive(archive, {
    web: { motd: 'hi', large: Buffer.alloc(100_000, 'large ') },
    'other/one': { motd: 'hello', large: Buffer.alloc(100_000, 'large ') },
  }) as [string, string];
});

after(async () => {
  client.close();
  await server[Symbol.asyncDispose]();
});

const fails = async (call: Promise<unknown>, error: string, parameters?: object): Promise<void> => {
  await assert.rejects(call, (thrown) => {
    assert.ok(thrown instanceof VarlinkRemoteError, String(thrown));
    assert.equal(thrown.error, `${NAME}.${error}`);
    if (parameters) assert.deepEqual(thrown.parameters, parameters);
    return true;
  });
};

async function filled(name: string): Promise<{ path: string; handle: number }> {
  const path = server.repository(name);
  const handle = await openHandle(client, path);
  await client.call(ostreeMethods.Pull, { handle, place: archive, ref: 'web' });
  return { path, handle };
}

test('the interface is announced, and described by its definition', async () => {
  assert.ok((await client.call(serviceMethods.GetInfo, {})).parameters.interfaces.includes(NAME));
  const { description } = (await client.call(serviceMethods.GetInterfaceDescription, { interface: NAME })).parameters;
  const proto = new URL(`../../../../proto/${NAME}.varlink`, import.meta.url);
  assert.equal(description, readFileSync(proto, 'utf8'));
});

test('a pull tells how far it is, and what it made', async () => {
  const path = server.repository('pulled');
  const handle = await openHandle(client, path);
  const frames: PullCommitFrame[] = [];
  const pull = { handle, place: archive, ref: 'web', local_fetch: 'disabled' };
  for await (const { parameters } of client.callMore(ostreeMethods.Pull, pull)) frames.push(parameters);
  assert.ok(frames.every((frame) => Object.keys(frame).length === 1));
  assert.match(frames[0]?.message ?? '', /^Signatures are not looked at/);
  assert.ok(frames.slice(1, -1).every(({ progress }) => progress != null && progress.files <= 2));
  const { completed } = frames.at(-1)!;
  using repository = await Repository.open(path);
  const { stream, image } = await readCommit(repository, web);
  const counts = { metadata: 3, files: 2, reused: 0, delta_parts: null };
  assert.deepEqual(completed, { commit: web, verity: stream, image, name: 'web', ...counts });
  assert.deepEqual(listCommitRefs(repository), [{ name: 'web', commit: web }]);
  // Again, by its id: nothing is brought, and it gets no name.
  const again = await client.call(ostreeMethods.Pull, { ...pull, ref: web });
  assert.deepEqual(again.parameters, { completed: { ...completed, name: null, metadata: 0, files: 0 } });
});

test('over HTTP as well, and refs of a server', async (t) => {
  const folder = recordedRepositories(t, 'http');
  const { url } = await archiveServer(t, [`${folder}/s/plain`, `${folder}/archive`]);
  const path = server.repository('fetched');
  const handle = await openHandle(client, path);
  const { refs } = (await client.call(ostreeMethods.ListRefs, { handle, url })).parameters;
  assert.ok(refs.length > 0);
  const [{ name, commit }] = refs as [{ name: string; commit: string }];
  const { completed } = (await client.call(ostreeMethods.Pull, { handle, place: url, ref: name })).parameters;
  assert.deepEqual([completed?.commit, completed?.name], [commit, name]);
  await fails(client.call(ostreeMethods.Pull, { handle, place: url, ref: 'none' }), 'InternalError');
  await fails(client.call(ostreeMethods.Pull, { handle, place: 'ftp://x/y', ref: 'none' }), 'InternalError');
});

test('a pull brings commits of another repository of the same kind', async () => {
  const { path } = await filled('another');
  const handle = await openHandle(client, server.repository('copied'));
  const pull = { handle, place: path, ref: 'web' };
  const { completed } = (await client.call(ostreeMethods.Pull, pull)).parameters;
  assert.deepEqual([completed?.commit, completed?.name, completed?.files], [web, 'web', 2]);
  await fails(client.call(ostreeMethods.Pull, { ...pull, ref: 'none' }), 'InternalError');
  const verification = { ed25519: [Buffer.alloc(32).toString('base64')] };
  await fails(client.call(ostreeMethods.Pull, { ...pull, verification }), 'InternalError');
});

test('commits by name, id and digits', async () => {
  const { path, handle } = await filled('shown');
  await client.call(ostreeMethods.Pull, { handle, place: `file://${archive}`, ref: 'other/one', base_name: 'web' });
  assert.deepEqual((await client.call(ostreeMethods.ListCommits, { handle })).parameters.commits, [
    { name: 'other/one', commit: other },
    { name: 'web', commit: web },
  ]);
  using repository = await Repository.open(path);
  const { stream, image, objects } = await readCommit(repository, web);
  for (const commit of ['web', web, web.slice(0, 10)])
    assert.deepEqual((await client.call(ostreeMethods.Inspect, { handle, commit })).parameters, {
      commit: web,
      verity: stream,
      image,
      parent: null,
      subject: 'web',
      body: '',
      timestamp: 1000,
      ...(({ tree, meta: dirmeta }) => ({ tree, dirmeta }))(parseCommit(objects.metadata('commit', web))),
      metadata: [],
      fix_xattrs: false,
      subpaths: [],
      objects: objects.count,
    });
  assert.deepEqual((await client.call(ostreeMethods.ComputeId, { handle, commit: 'web' })).parameters, {
    image_id: image,
  });
  // The same commit, kept otherwise.
  const fixed = await client.call(ostreeMethods.Pull, { handle, place: archive, ref: 'web', fix_xattrs: true });
  const { name, verity } = fixed.parameters.completed!;
  assert.deepEqual([name, verity === stream], ['web:fixed-xattrs', false]);
  const kept = (await client.call(ostreeMethods.Inspect, { handle, commit: name! })).parameters;
  assert.deepEqual([kept.commit, kept.verity], [web, verity]);
  for (const commit of ['none', 'f'.repeat(64), '']) {
    await fails(client.call(ostreeMethods.Inspect, { handle, commit }), 'NoSuchCommit', { commit });
    await fails(client.call(ostreeMethods.Tag, { handle, commit, name: 'x' }), 'NoSuchCommit', { commit });
  }
  await fails(client.call(ostreeMethods.ListCommits, { handle: 999 }), 'InvalidHandle', { handle: 999 });
});

test('the objects of a commit come in pieces, as inspect --json has them', async () => {
  const path = server.repository('listed');
  const handle = await openHandle(client, path);
  const many = join(server.folder, 'many');
  const files = Object.fromEntries(Array.from({ length: 600 }, (_, i) => [`file${i}`, `${i} `.repeat(i)]));
  writeArchive(many, { many: files }, { file7: new Map([['user.a\0', 'b']]) });
  await client.call(ostreeMethods.Pull, { handle, place: many, ref: 'many' });
  const pieces: object[][] = [];
  for await (const { parameters } of client.callMore(ostreeMethods.ListObjects, { handle, commit: 'many' }))
    pieces.push(parameters.objects);
  assert.deepEqual(
    pieces.map(({ length }) => length),
    [256, 256, 91],
  );
  const { stdout } = runCli(['--repo', path, 'ostree', 'inspect', '--json', 'many']);
  const { objects } = JSON.parse(stdout) as { objects: { object?: string | null }[] };
  assert.deepEqual(
    pieces.flat(),
    objects.map(({ object, ...rest }) => (object == null ? rest : { ...rest, object })),
  );
  using repository = await Repository.open(path);
  const listed: object[] = [];
  for await (const object of listCommitObjects(repository, 'many')) listed.push(object);
  assert.deepEqual(listed, pieces.flat());
  await fails(drained({ handle, commit: 'none' }), 'NoSuchCommit', { commit: 'none' });
  await assert.rejects(client.call(ostreeMethods.ListObjects, { handle, commit: 'many' }), /ExpectedMore/);
});

async function drained(parameters: { handle: number; commit: string }): Promise<void> {
  for await (const _ of client.callMore(ostreeMethods.ListObjects, parameters));
}

test('a commit without a name goes with garbage', async () => {
  const { handle } = await filled('collected');
  await client.call(ostreeMethods.Tag, { handle, commit: 'web', name: 'tested' });
  await client.call(ostreeMethods.Untag, { handle, name: 'web' });
  await fails(client.call(ostreeMethods.Untag, { handle, name: 'web' }), 'NoSuchCommit', { commit: 'web' });
  const collect = async (): Promise<number> =>
    (await client.call(repositoryMethods.Gc, { handle, dry_run: false, roots: [] })).parameters.result.streams_pruned;
  assert.equal(await collect(), 0);
  await client.call(ostreeMethods.Untag, { handle, name: 'tested' });
  assert.equal(await collect(), 1);
  await fails(client.call(ostreeMethods.Inspect, { handle, commit: web }), 'NoSuchCommit', { commit: web });
});

test('a commit is exported, with the name that is asked for', async () => {
  const { handle } = await filled('exported');
  const bare = join(server.folder, 'bare');
  for (const name of ['objects', 'tmp', 'refs/heads']) mkdirSync(join(bare, name), { recursive: true });
  writeFileSync(join(bare, 'config'), '[core]\nrepo_version=1\nmode=bare-user-only\n');
  const call = { handle, commit: 'web', path: bare, reference: 'stable' };
  assert.deepEqual((await client.call(ostreeMethods.Export, call)).parameters, { commit: web });
  assert.equal(readFileSync(join(bare, 'refs/heads/stable'), 'utf8'), `${web}\n`);
  assert.equal(readFileSync(join(bare, 'objects', web.slice(0, 2), `${web.slice(2)}.commit`)).length > 0, true);
  await fails(client.call(ostreeMethods.Export, { ...call, path: archive }), 'InternalError');
});

test('a delta in files is applied', async (t) => {
  const deltas = recordedRepositories(t, 'deltas');
  const superblock = readdirSync(join(deltas, 'd/scratch-b'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('/superblock'))
    .map((name) => join(deltas, 'd/scratch-b', name))[0]!;
  const path = server.repository('updated');
  const handle = await openHandle(client, path);
  await fails(client.call(ostreeMethods.ApplyDelta, { handle, path: '/nothing' }), 'InternalError');
  const call = { handle, path: superblock, fix_xattrs: true };
  await fails(client.call(ostreeMethods.ApplyDelta, call), 'InvalidRequest');
  const verification = { ed25519: [Buffer.alloc(32).toString('base64')] };
  await fails(client.call(ostreeMethods.ApplyDelta, { ...call, reference: 'd/b', verification }), 'InternalError');
  const fixed = (await client.call(ostreeMethods.ApplyDelta, { ...call, reference: 'd/b' })).parameters;
  assert.equal(fixed.name, 'd/b:fixed-xattrs');
  assert.ok(fixed.delta_parts! > 0);
  const { commit } = (await client.call(ostreeMethods.ApplyDelta, { handle, path: superblock })).parameters;
  using repository = await Repository.open(path);
  const { objects } = await readCommit(repository, commit);
  assert.deepEqual(objects.whole.bytes, fixture(`ostree/deltas/chunk.sha256.${commit.slice(0, 12)}.bin`));
});

test('a commit that has to be signed is refused when it is not, and a verification needs keys', async (t) => {
  const signed = recordedRepositories(t, 'signatures');
  const handle = await openHandle(client, server.repository('verified'));
  const key = (name: string): string => readFileSync(join(signed, 'keys', `ed25519-${name}.pub`), 'latin1').trim();
  const gpg = readFileSync(join(signed, 'keys/gpg.pub.asc')).toString('base64');
  const { url } = await archiveServer(t, [join(signed, 'archive')]);
  const pull = (ref: string, verification: object, place = url): Promise<unknown> =>
    client.call(ostreeMethods.Pull, { handle, place, ref, verification });
  for (const place of [url, join(signed, 'archive')]) {
    for (const ref of ['sig/unsigned', 'sig/wrong', 'sig/gpg'])
      await fails(pull(ref, { ed25519: [key('one')] }, place), 'InternalError');
    await fails(pull('sig/ed', { gpg }, place), 'InternalError');
    await fails(pull('sig/ed', { ed25519: [key('one')], collection_id: 'org.example' }, place), 'InternalError');
  }
  for (const nothing of [{}, { ed25519: [] }, { ed25519: [''] }, { gpg: '' }, { gpg: 'eA==' }, { ed25519: ['eA=='] }])
    await fails(pull('sig/ed', nothing), 'InvalidRequest');
  assert.deepEqual((await client.call(ostreeMethods.ListCommits, { handle })).parameters.commits, []);
  await pull('sig/ed', { ed25519: [key('two'), key('one')] });
  await pull('sig/two', { ed25519: [key('two')] });
  const names = (await client.call(ostreeMethods.ListCommits, { handle })).parameters.commits.map(({ name }) => name);
  assert.deepEqual(names, ['sig/ed', 'sig/two']);
});

test('who to be at a server is said with the call', async (t) => {
  const handle = await openHandle(client, server.repository('asked'));
  const asked: (string | undefined)[][] = [];
  const { url } = await archiveServer(t, [archive], ({ headers }, response) => {
    asked.push([headers.authorization, headers['x-token'] as string | undefined]);
    if (headers.authorization !== undefined) return false;
    response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end();
    return true;
  });
  const credentials = { user: 'me', password: 'secret' };
  const who = { credentials, headers: ['X-Token: mine'] };
  const pull = (choice: object): Promise<unknown> =>
    client.call(ostreeMethods.Pull, { handle, place: url, ref: 'web', server: choice });
  await fails(pull({ anonymous: true }), 'InternalError');
  await fails(pull({ anonymous: true, credentials }), 'InvalidRequest');
  await fails(pull({ headers: ['X: a\r\nY: b'] }), 'InvalidRequest');
  await pull(who);
  assert.deepEqual(asked.at(-1), [`Basic ${Buffer.from('me:secret').toString('base64')}`, 'mine']);
  // Known from the first request on.
  await fails(client.call(ostreeMethods.ListRefs, { handle, url, server: who }), 'InternalError');
  assert.equal(asked.at(-1)?.[1], 'mine');
});

test('a part of a commit, in the EROFS that is asked for', async () => {
  const handle = await openHandle(client, server.repository('part'));
  const pull = { handle, place: archive, ref: 'web', subpaths: ['motd'], fix_xattrs: true };
  await fails(client.call(ostreeMethods.Pull, { ...pull, erofs_version: 3 }), 'InvalidRequest');
  await fails(client.call(ostreeMethods.Pull, { ...pull, subpaths: ['../motd'] }), 'InvalidRequest');
  const { completed } = (await client.call(ostreeMethods.Pull, { ...pull, erofs_version: 0 })).parameters;
  assert.equal(completed?.name, 'web:fixed-xattrs:/motd');
  const shown = (await client.call(ostreeMethods.Inspect, { handle, commit: completed.name! })).parameters;
  assert.deepEqual([shown.fix_xattrs, shown.subpaths], [true, ['/motd']]);
  assert.match(await dumped(handle, completed.name!), /^\/ [^\n]*\n\/motd [^\n]*\n$/);
});

async function dumped(handle: number, commit: string): Promise<string> {
  let text = '';
  for await (const { parameters } of client.callMore(ostreeMethods.Dump, { handle, commit })) text += parameters.text;
  return text;
}

test('a commit is made of a folder, and dumped', async () => {
  const path = server.repository('made');
  const handle = await openHandle(client, path);
  const folder = join(server.folder, 'tree');
  for (const part of ['a', 'b']) mkdirSync(join(folder, part), { recursive: true });
  for (let i = 0; i < 3000; i++) writeFileSync(join(folder, i % 2 ? 'a' : 'b', `file-${i}`), `content ${i}`);
  const call = { handle, source: folder, reference: 'made/one', subject: 'One', timestamp: 1000 };
  const made = (await client.call(ostreeMethods.Commit, call)).parameters;
  const again = (await client.call(ostreeMethods.Commit, { ...call, timestamp: 1000 })).parameters;
  assert.deepEqual(again, made);
  const shown = (await client.call(ostreeMethods.Inspect, { handle, commit: 'made/one' })).parameters;
  assert.deepEqual(
    [shown.commit, shown.image, shown.subject, shown.timestamp, shown.metadata],
    [made.commit, made.image, 'One', 1000, [{ key: 'ostree.ref-binding', type: 'as', value: '[made/one]' }]],
  );
  const text = await dumped(handle, 'made/one');
  assert.equal(text.split('\n').length, 3000 + 3 + 1);
  const { status, stdout } = runCli(['--repo', path, 'ostree', 'dump', 'made/one']);
  assert.equal(status, 0);
  assert.equal(text, stdout);
  for (const [source, error] of [
    ['./tree', 'InvalidRequest'],
    ['/nothing', 'InternalError'],
    ['none', 'InternalError'],
  ] as const)
    await fails(client.call(ostreeMethods.Commit, { ...call, source }), error);
  await fails(client.call(ostreeMethods.Commit, { ...call, timestamp: -1 }), 'InvalidRequest');
  await fails(dumped(handle, 'none'), 'NoSuchCommit', { commit: 'none' });
  await assert.rejects(
    client.call(ostreeMethods.Dump, { handle, commit: 'made/one' }),
    ({ error }: VarlinkRemoteError) => error === 'org.varlink.service.ExpectedMore',
  );
});

test('a mount needs the descriptors of its overlay', async () => {
  const { handle } = await filled('mounted');
  const options = { overlay: true };
  await fails(client.call(ostreeMethods.Mount, { handle, commit: 'web', options }), 'InvalidRequest');
  await fails(client.call(ostreeMethods.Mount, { handle, commit: 'none', options: {} }), 'NoSuchCommit', {
    commit: 'none',
  });
});

test('a client that goes away ends its pull, and nothing stays open', async () => {
  const { handle } = await filled('left');
  await withoutLeak(async () => {
    const leaving = await server.client();
    for await (const _ of leaving.callMore(ostreeMethods.Pull, { handle, place: archive, ref: 'other/one' })) break;
    leaving.close();
    // The next call of another connection is answered when the one before is over.
    await client.call(ostreeMethods.ListCommits, { handle });
  });
});
