// What an import leaves that fails, or that is made of files which change meanwhile.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { bytesOf } from '../../src/bytes.js';
import { openPath } from '../../src/fd/fd.js';
import { verityDigest } from '../../src/fsverity/digest.js';
import type { Chunk, LayerStream } from '../../src/layer/stream.js';
import { files } from '../../src/native.js';
import { pullImage } from '../../src/oci/pull/pull.js';
import type { ImageSource } from '../../src/oci/source/source.js';
import { fsckRepository } from '../../src/repository/fsck/fsck.js';
import { initRepository } from '../../src/repository/init.js';
import { objectPath } from '../../src/fsverity/object-id.js';
import { Repository } from '../../src/repository/repository.js';
import { END, header } from '../support/layers/make-tar.js';
import { cfsbridge as program } from '../support/cli/run-cli.js';
import { makeStore, type MadeLayer } from '../support/images/made-store.js';
import { attack, whyNoAttacker } from './attack.js';
import { cfsbridge, giveAway } from './stranger-repository.js';

/** No reflinks there, so files are hardlinked. */
const WHERE = '/dev/shm';
const skip =
  whyNoAttacker() || (existsSync(WHERE) ? false : `needs ${WHERE}: a filesystem with hard links and without reflinks`);

function scene(t: TestContext): { graphroot: string; repository: string } {
  const folder = mkdtempSync(join(WHERE, 'hostile-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  chmodSync(folder, 0o755);
  const repository = join(folder, 'repository');
  initRepository(repository, { insecure: true });
  chmodSync(repository, 0o755);
  return { graphroot: join(folder, 'store'), repository };
}

const secret = Buffer.alloc(10_000, 'what root alone may read ');
const large = Buffer.alloc(3_000_000, 'what root alone may read, at length ');
const wrong: MadeLayer = {
  entries: [
    { name: 'secret', content: secret },
    { name: 'large', content: large },
  ],
  claimed: `sha256:${'12'.repeat(32)}`,
};
const right: MadeLayer = {
  entries: [
    { name: 'secret', content: secret },
    { name: 'large', content: large },
  ],
};

const objectsIn = (repository: string): string[] =>
  (readdirSync(repository, { recursive: true }) as string[]).filter((name) => /^objects\/..\/./.test(name));
const stagings = (repository: string): string[] =>
  readdirSync(repository).filter((name) => name.startsWith('.staging-'));
const objectOf = (content: Buffer): string => objectPath(verityDigest(content, 'sha512').toString('hex'));

function pull(graphroot: string, repository: string): { status: number | null; stderr: string } {
  return cfsbridge(['--repo', repository, 'oci', 'pull', 'containers-storage:localhost/it:1', 'it'], {
    CONTAINERS_STORAGE_ROOT: graphroot,
  });
}

attack(
  'offers root a layer that is not what its diff_id says, to have content of others in a repository they may enter',
  { skip },
  (t) => {
    const { graphroot, repository } = scene(t);
    makeStore(graphroot, [{ name: 'localhost/it:1', layers: [wrong] }]);
    giveAway(graphroot);
    const { status, stderr } = pull(graphroot, repository);
    assert.equal(status, 1);
    assert.match(stderr, /is not what its diff_id says/);
    assert.deepEqual(objectsIn(repository), []);
    assert.deepEqual(stagings(repository), []);
    return 'nothing of it is left';
  },
);

attack('offers root an image layout whose layer is a tar that only root may read', { skip }, (t) => {
  const { graphroot: layout, repository } = scene(t);
  mkdirSync(join(layout, 'blobs/sha256'), { recursive: true });
  const blob = (
    bytes: Buffer,
    name = createHash('sha256').update(bytes).digest('hex'),
  ): { digest: string; size: number } => {
    writeFileSync(join(layout, 'blobs/sha256', name), bytes);
    return { digest: `sha256:${name}`, size: bytes.length };
  };
  const tar = Buffer.concat([
    header({ name: 'secret', size: secret.length }),
    secret,
    Buffer.alloc(512 - (secret.length % 512)),
    END,
  ]);
  const layer = { mediaType: 'application/vnd.oci.image.layer.v1.tar', ...blob(tar, '12'.repeat(32)) };
  const diffIds = {
    architecture: process.arch === 'x64' ? 'amd64' : process.arch,
    os: 'linux',
    rootfs: { type: 'layers', diff_ids: [layer.digest] },
  };
  const config = {
    mediaType: 'application/vnd.oci.image.config.v1+json',
    ...blob(Buffer.from(JSON.stringify(diffIds))),
  };
  const manifest = {
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config,
    layers: [layer],
  };
  writeFileSync(
    join(layout, 'index.json'),
    JSON.stringify({
      schemaVersion: 2,
      manifests: [{ mediaType: manifest.mediaType, ...blob(Buffer.from(JSON.stringify(manifest))) }],
    }),
  );
  writeFileSync(join(layout, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  giveAway(layout);
  const { status, stderr } = cfsbridge(['--repo', repository, 'oci', 'pull', `oci:${layout}`, 'it']);
  assert.equal(status, 1);
  assert.match(stderr, /sha256:1212/);
  assert.deepEqual(objectsIn(repository), []);
  assert.deepEqual(stagings(repository), []);
  return 'nothing of it is left';
});

attack('offers a wrong layer with an object that the repository has already', { skip }, (t) => {
  const { graphroot, repository } = scene(t);
  makeStore(graphroot, [{ name: 'localhost/it:1', layers: [right] }]);
  assert.equal(pull(graphroot, repository).status, 0);
  const before = objectsIn(repository);
  rmSync(graphroot, { recursive: true });
  makeStore(graphroot, [
    {
      name: 'localhost/it:1',
      layers: [{ ...wrong, entries: [...wrong.entries, { name: 'more', content: Buffer.alloc(5000, 'x') }] }],
    },
  ]);
  giveAway(graphroot);
  assert.equal(pull(graphroot, repository).status, 1);
  assert.deepEqual(objectsIn(repository).sort(), before.sort());
  assert.match(cfsbridge(['--repo', repository, 'fsck']).stdout, /^status: ok$/m);
  return 'the objects that were there stay, none is added';
});

test('a right layer of a stranger lands, beside what is there and in the place of what is damaged', { skip }, (t) => {
  const { graphroot, repository } = scene(t);
  makeStore(graphroot, [{ name: 'localhost/it:1', layers: [right] }]);
  giveAway(graphroot);
  mkdirSync(join(repository, 'objects', objectOf(secret).slice(0, 2)), { recursive: true });
  writeFileSync(join(repository, 'objects', objectOf(secret)), 'damaged');
  const { status, stderr } = pull(graphroot, repository);
  assert.equal(status, 0, stderr);
  assert.deepEqual(stagings(repository), []);
  assert.match(cfsbridge(['--repo', repository, 'oci', 'fsck']).stdout, /^status: ok$/m);
});

test('the staging folder of a killed import goes with the next collection, one in use stays', { skip }, (t) => {
  const { repository } = scene(t);
  const [left, used] = [`.staging-${'ab'.repeat(12)}`, `.staging-${'cd'.repeat(12)}`];
  for (const name of [left, used]) {
    mkdirSync(join(repository, name, 'ab'), { recursive: true, mode: 0o700 });
    writeFileSync(join(repository, name, 'ab/cd'), secret);
  }
  using folder = openPath(bytesOf(join(repository, used)), 0);
  assert.ok(files.flock(folder.number, 'exclusive'));
  assert.match(cfsbridge(['--repo', repository, 'fsck']).stdout, /^status: ok$/m);
  assert.equal(cfsbridge(['--repo', repository, 'gc', '--dry-run']).status, 0);
  assert.deepEqual(stagings(repository).sort(), [left, used].sort());
  const { status, stderr } = cfsbridge(['--repo', repository, 'gc']);
  assert.equal(status, 0, stderr);
  assert.deepEqual(stagings(repository), [used]);
});

/** An image of one layer that consists of a file and of what `rest` gives once that has become an object. */
function imageOf(path: string, size: number, diffId: string, rest: () => Promise<Chunk[]>): ImageSource {
  async function* read(): AsyncGenerator<Chunk[]> {
    yield [
      { kind: 'bytes', bytes: header({ name: 'file', size }) },
      { kind: 'fd', fd: openPath(bytesOf(path), 0), size },
    ];
    // So many that the file's batch goes to the pool.
    yield [
      { kind: 'bytes', bytes: Buffer.alloc((512 - (size % 512)) % 512) },
      ...Array.from({ length: 400 }, (_, i): Chunk[] => [
        { kind: 'bytes', bytes: header({ name: `empty${i}`, mode: 0o600 }) },
      ]).flat(),
    ];
    yield [
      { kind: 'bytes', bytes: Buffer.concat(Array.from({ length: 400 }, (_, i) => header({ name: `more${i}` }))) },
    ];
    yield await rest();
  }
  const stream: LayerStream = { [Symbol.asyncIterator]: read, [Symbol.asyncDispose]: async () => undefined };
  const config = Buffer.from(
    JSON.stringify({ architecture: 'amd64', os: 'linux', rootfs: { type: 'layers', diff_ids: [diffId] } }),
  );
  const digest = `sha256:${createHash('sha256').update(config).digest('hex')}`;
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest, size: config.length },
      layers: [{ mediaType: 'application/vnd.oci.image.layer.v1.tar', digest: diffId, size: 1 }],
    }),
  );
  return {
    manifest,
    config,
    layers: [{ diffId, size: undefined, open: async () => stream }],
    trusted: true,
    canShare: true,
    parallelLayers: 1,
    close: async () => undefined,
    [Symbol.asyncDispose]: async () => undefined,
  };
}

for (const size of [10_000, 3_000_000]) {
  test(`an object of ${size} bytes whose file changed after it was linked is gone after the import failed`, {
    skip: existsSync(WHERE) ? false : skip,
  }, async (t) => {
    const { repository: path } = scene(t);
    const file = join(path, '../file');
    const content = Buffer.alloc(size, 'right ');
    writeFileSync(file, content, { mode: 0o644 });
    const object = join(path, 'objects', objectOf(content));
    using repository = await Repository.open(path, { write: true });
    const change = async (): Promise<Chunk[]> => {
      for (let waited = 0; !existsSync(object); waited++) {
        assert.ok(waited < 2000, 'the file has not become an object');
        await sleep(5);
      }
      assert.equal(statSync(object).ino, statSync(file).ino, 'the file was not hardlinked');
      const fd = openSync(file, 'r+');
      writeSync(fd, 'wrong', 100);
      closeSync(fd);
      return [{ kind: 'bytes', bytes: END }];
    };
    await assert.rejects(
      pullImage(repository, imageOf(file, size, `sha256:${'0'.repeat(64)}`, change), { localFetch: 'auto' }),
      { code: 'DIGEST_MISMATCH' },
    );
    assert.ok(!existsSync(object), 'the wrong object stayed');
    assert.deepEqual((await fsckRepository(repository)).errors, []);
    // The same store takes the right content.
    const id = await repository.objects.put(content);
    assert.equal(objectPath(id), objectOf(content));
    assert.deepEqual((await fsckRepository(repository)).errors, []);
  });
}

test('objects of a stranger’s store get into a repository whose objects are on another filesystem', { skip }, (t) => {
  const { graphroot, repository } = scene(t);
  makeStore(graphroot, [
    { name: 'localhost/it:1', layers: [right] },
    { name: 'localhost/wrong:1', layers: [wrong] },
  ]);
  giveAway(graphroot);
  mkdirSync(join(repository, 'objects'));
  const script = `mount -t tmpfs none "$0/objects" || exit 9
    "$1" --repo "$0" oci pull containers-storage:localhost/it:1 it && "$1" --repo "$0" oci fsck && "$1" --repo "$0" oci pull containers-storage:localhost/wrong:1 || find "$0" -name '.staging*' -o -type f`;
  const { status, stdout, stderr } = spawnSync('unshare', ['--mount', 'sh', '-c', script, repository, program], {
    encoding: 'utf8',
    env: { ...process.env, CONTAINERS_STORAGE_ROOT: graphroot },
  });
  assert.equal(status, 0, stderr);
  assert.match(stdout, /^oci images: 1\/1 ok$/m);
  assert.match(stderr, /is not what its diff_id says/);
  const files = stdout.split('\n').filter((line) => line.startsWith('/'));
  for (const content of [secret, large])
    assert.ok(files.includes(join(repository, 'objects', objectOf(content))), stdout);
  assert.ok(
    files.every((path) => !path.includes('.staging')),
    stdout,
  );
});
