import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { BridgeError, NotFoundError } from '../../src/errors.js';
import { initRepository } from '../../src/repository/init.js';
import { Repository } from '../../src/repository/repository.js';
import { fastFolder } from '../support/fast-folder.js';
import { UserNamespace } from '../support/user-namespace.js';
import { encodeTag, listTags, readTag, removeTag, writeTag } from '../../src/repository/tags.js';
import { decodeRefName } from '../../src/repository/ref-name.js';

const root = process.getuid!() === 0;

function temporary(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'repository-'));
  t.after(() => rmSync(dir, { recursive: true }));
  return join(dir, 'a/repo');
}

test('init makes a private directory and is content with itself', (t) => {
  const path = temporary(t);
  assert.equal(initRepository(path, { insecure: true }), 'created');
  assert.equal(statSync(path).mode & 0o777, 0o700);
  assert.equal(statSync(join(path, 'meta.json')).mode & 0o777, 0o644);
  assert.deepEqual(readdirSync(path), ['meta.json']);
  assert.equal(initRepository(path, { insecure: true }), 'existing');
  assert.throws(() => initRepository(path, { insecure: true, erofsVersion: 2 }), code('REPOSITORY_EXISTS'));
  assert.throws(() => initRepository(path), code('REPOSITORY_EXISTS'));
  assert.equal(initRepository(path, { ensure: true, erofsVersion: 2 }), 'existing');
  assert.throws(() => initRepository(path, { ensure: true, algorithm: 'sha256' }), code('REPOSITORY_EXISTS'));
});

test('resetting metadata keeps the objects', async (t) => {
  const path = temporary(t);
  initRepository(path, { insecure: true });
  mkdirSync(join(path, 'objects'));
  mkdirSync(join(path, 'streams/refs/oci'), { recursive: true });
  {
    using reader = await Repository.open(path);
    assert.throws(
      () => initRepository(path, { insecure: true, resetMetadata: true }),
      code('REPOSITORY_BUSY'),
      `${reader.algorithm}`,
    );
  }
  assert.equal(initRepository(path, { insecure: true, algorithm: 'sha256', resetMetadata: true }), 'created');
  assert.deepEqual(readdirSync(path).sort(), ['meta.json', 'objects']);
});

test('a meta.json that is cut off is named, and what to do about it', async (t) => {
  const path = temporary(t);
  initRepository(path, { insecure: true });
  writeFileSync(join(path, 'meta.json'), '{"version"');
  await assert.rejects(Repository.open(path), (error: Error) =>
    error.message.startsWith(`${path}/meta.json: no JSON; when the file is moved away, `),
  );
});

test('a refused reset drops nothing', async (t) => {
  const path = temporary(t);
  initRepository(path, { insecure: true });
  mkdirSync(join(path, 'streams/refs/oci'), { recursive: true });
  mkdirSync(join(path, 'objects/ab'), { recursive: true });
  writeFileSync(join(path, 'objects/ab', 'c'.repeat(126)), '');
  assert.throws(
    () => initRepository(path, { insecure: true, algorithm: 'sha256', resetMetadata: true }),
    code('REPOSITORY_EXISTS'),
  );
  const onTmpfs = mkdtempSync(join(fastFolder, 'repository-'));
  t.after(() => rmSync(onTmpfs, { recursive: true }));
  initRepository(onTmpfs, { insecure: true });
  mkdirSync(join(onTmpfs, 'streams'));
  assert.throws(() => initRepository(onTmpfs, { resetMetadata: true }), code('VERITY_UNSUPPORTED'));
  assert.deepEqual(readdirSync(onTmpfs).sort(), ['meta.json', 'streams']);
  assert.deepEqual(readdirSync(path).sort(), ['meta.json', 'objects', 'streams']);
});

test('objects without meta.json are not given another algorithm', async (t) => {
  const path = temporary(t);
  mkdirSync(join(path, 'objects/ab'), { recursive: true });
  writeFileSync(join(path, 'objects/ab', 'c'.repeat(62)), '');
  for (const ensure of [false, true])
    assert.throws(() => initRepository(path, { insecure: true, ensure }), code('REPOSITORY_EXISTS'));
  assert.equal(initRepository(path, { algorithm: 'sha256', erofsVersion: 2, ensure: true }), 'upgraded');
  using repository = await Repository.open(path);
  assert.deepEqual([repository.algorithm, repository.verityRequired], ['sha256', false]);
});

test('opening waits for an exclusive lock and can be called off', async (t) => {
  const path = temporary(t);
  initRepository(path, { insecure: true });
  const holder = spawn('flock', ['--exclusive', path, 'sh', '-c', 'echo locked; read line'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  await once(holder.stdout, 'data');
  await assert.rejects(Repository.open(path, { signal: AbortSignal.timeout(120) }), { name: 'AbortError' });
  const opening = Repository.open(path);
  holder.stdin.end();
  using repository = await opening;
  assert.equal(repository.algorithm, 'sha512');
});

test('root, the caller and, when told so, the owner are believed', {
  skip: root ? false : 'needs root, to give a repository to somebody else',
}, async (t) => {
  const path = temporary(t);
  initRepository(path, { insecure: true });
  const believed = async (owner: number, trust: boolean): Promise<number[]> => {
    chownSync(path, owner, owner);
    using repository = await Repository.open(path, { trust });
    return [0, 12345, 12346, 65534].filter((uid) => repository.believes(uid));
  };
  assert.deepEqual(await believed(12345, false), [0]);
  assert.deepEqual(await believed(12345, true), [0, 12345]);
  assert.deepEqual(await believed(65534, true), [0, 65534]);
  chmodSync(path, 0o755);
  // Whoever has no id there is shown as 65534, and is not the owner for that.
  using namespace = await UserNamespace.start('0 0 1\n');
  const program = `import { Repository } from '${new URL('../../src/repository/repository.js', import.meta.url).href}';
    const repository = await Repository.open('${path}', { trust: true });
    console.log(repository.believes(65534), repository.believes(0));`;
  const { stdout, stderr } = spawnSync(
    'nsenter',
    [`--user=${namespace.path}`, process.execPath, '--input-type=module', '-e', program],
    { encoding: 'utf8' },
  );
  assert.equal(stdout, 'false true\n', stderr);
});

test('a repository that needs more than we have is refused', async (t) => {
  const path = temporary(t);
  await assert.rejects(Repository.open(path), NotFoundError);
  initRepository(path, { insecure: true });
  await assert.rejects(Repository.open(path, { requireVerity: true }), code('VERITY_REQUIRED'));
  const meta = readFileSync(join(path, 'meta.json'), 'utf8');
  writeFileSync(join(path, 'meta.json'), meta.replace('"v1_erofs"', '"v9"'));
  using readable = await Repository.open(path);
  assert.equal(readable.writable, false);
  await assert.rejects(Repository.open(path, { write: true }), code('REPOSITORY_READ_ONLY'));
});

test('streams, images, refs and tags are links as cfsctl makes them', async (t) => {
  const path = temporary(t);
  initRepository(path, { insecure: true, algorithm: 'sha256' });
  using repository = await Repository.open(path, { write: true });
  const [first, second] = ['12'.repeat(32), 'ab'.repeat(32)] as const;
  await repository.linkStream('oci-manifest-sha256:aa', first);
  assert.equal(readlinkSync(join(path, 'streams/oci-manifest-sha256:aa')), `../objects/12/${'12'.repeat(31)}`);
  await repository.linkStream('oci-manifest-sha256:aa', second);
  assert.equal(repository.streamObject('oci-manifest-sha256:aa'), second);
  assert.equal(repository.streamObject('other'), undefined);
  await repository.linkImage(first);
  assert.deepEqual(repository.listImages(), [first]);
  repository.writeRef('images', 'deep/name', first);
  assert.equal(readlinkSync(join(path, 'images/refs/deep/name')), `../../${first}`);

  writeTag(repository, 'quay.io/a:b%', 'sha256:aa');
  assert.equal(readlinkSync(join(path, 'streams/refs/oci/quay.io%2Fa:b%25')), '../../oci-manifest-sha256:aa');
  assert.deepEqual(listTags(repository), [{ name: 'quay.io/a:b%', manifestDigest: 'sha256:aa' }]);
  assert.equal(readTag(repository, 'quay.io/a:b%'), 'sha256:aa');
  assert.throws(
    () => writeTag(repository, 'dangling', 'sha256:bb'),
    /^NotFoundError: there is no manifest sha256:bb in the repository/,
  );
  assert.equal(removeTag(repository, 'quay.io/a:b%'), true);
  assert.equal(removeTag(repository, 'quay.io/a:b%'), false);
  assert.deepEqual(readdirSync(path).sort(), ['images', 'meta.json', 'objects', 'streams']);
});

test('names cannot lead out of the repository', async (t) => {
  const path = temporary(t);
  initRepository(path, { insecure: true });
  using repository = await Repository.open(path, { write: true });
  for (const name of ['', '.', '..', 'a/b', 'a\0b', 'x'.repeat(256)]) {
    assert.throws(() => repository.lookup('streams', name), code('INVALID_NAME'), name);
    await assert.rejects(repository.linkStream(name, 'ab'.repeat(64)), code('INVALID_NAME'), name);
  }
  for (const ref of ['../x', 'a//b', '/a', 'a/..'])
    assert.throws(() => repository.readRef('images', ref), code('INVALID_NAME'), ref);
  // A directory that somebody replaced by a symlink is not followed.
  mkdirSync(join(path, '../elsewhere'));
  symlinkSync('../elsewhere', join(path, 'streams'));
  await assert.rejects(repository.linkStream('x', 'ab'.repeat(64)), {
    code: 'ELOOP',
    message: /^streams in the repository is a symlink/,
  });
  assert.throws(() => repository.listStreams(), /^BridgeError: streams in the repository is a symlink/);
});

test('tags are escaped the way cfsctl does', () => {
  const cases = [
    ['a/b', 'a%2Fb'],
    ['50%', '50%25'],
    ['%2F', '%252F'],
    ['ü a@b', Buffer.from('ü a@b').toString('latin1')],
    ['.x', '.x'],
  ] as const;
  for (const [tag, name] of cases) {
    assert.equal(encodeTag(tag), name);
    assert.equal(decodeRefName(name), tag);
  }
  assert.equal(decodeRefName('a%2fb'), 'a%2fb');
  for (const tag of ['@sha256:aa', '', '.', '..', 'a\0', 'x/'.repeat(100)])
    assert.throws(() => encodeTag(tag), code('INVALID_NAME'), tag);
});

function code(expected: string): (error: unknown) => boolean {
  return (error) => error instanceof BridgeError && error.code === expected;
}
