import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cpSync, lstatSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { verityDigest } from '../../src/fsverity/digest.js';
import type { LayerStats } from '../../src/oci/pull/stats.js';
import { pullImage } from '../../src/oci/pull/pull.js';
import type { PullOptions } from '../../src/oci/pull/types.js';
import { openStorageImage } from '../../src/oci/source/storage.js';
import { initRepository } from '../../src/repository/init.js';
import { objectPath, type Algorithm } from '../../src/fsverity/object-id.js';
import { Repository } from '../../src/repository/repository.js';
import { runCli } from '../support/cli/run-cli.js';
import { noise } from '../support/random.js';
import { baseLayerFolder, makeStore, type MadeImage } from '../support/images/made-store.js';
import { assertAllSealed, DEVICES, Disk, measure } from './disks.js';

const content = { small: noise(500, 'a store'), large: noise(700_000, 'a large one') };
const image: MadeImage = {
  name: 'localhost/sealed:latest',
  layers: [
    {
      entries: [
        { name: 'usr/', type: '5', mode: 0o755 },
        ...Object.entries(content).map(([name, bytes]) => ({ name: `usr/${name}`, content: bytes })),
      ],
    },
  ],
};

let verity: Disk;
let master: string;
before(() => {
  verity = new Disk(DEVICES.verity);
  master = join(verity.path, 'master-store');
  makeStore(master, [image]);
});
after(() => verity[Symbol.dispose]());

/** A store and a repository of their own on the disk. */
function make(
  name: string,
  options: { insecure?: boolean; algorithm?: Algorithm } = {},
): { store: string; repository: string; files: string } {
  const store = join(verity.path, `${name}-store`);
  cpSync(master, store, { recursive: true, verbatimSymlinks: true });
  const repository = join(verity.path, `${name}-repository`);
  initRepository(repository, options);
  return { store, repository, files: join(baseLayerFolder(store, image.layers[0]!), 'usr') };
}

async function pull(path: string, graphroot: string, options: PullOptions): Promise<LayerStats | undefined> {
  using repository = await Repository.open(path, { write: true });
  await using source = await openStorageImage('localhost/sealed:latest', { graphroot });
  return (await pullImage(repository, source, { name: 'sealed', ...options })).layers[0]?.stats;
}

test('a secure repository copies from a store whose files must not be sealed', async () => {
  const { store, repository, files } = make('kept');
  const stats = await pull(repository, store, { localFetch: 'auto' });
  assert.deepEqual([stats?.copied, stats?.hardlinked], [2, 0]);
  assertAllSealed(repository, 'sha512');
  for (const name of Object.keys(content)) {
    assert.equal(measure(join(files, name)), undefined);
    writeFileSync(join(files, name), 'podman may still write');
  }
});

test('with the sealing agreed to, it shares the files of the store, which nobody can change then', async () => {
  const { store, repository, files } = make('sealed');
  const stats = await pull(repository, store, { localFetch: 'zerocopy', sealSource: true });
  assert.deepEqual([stats?.copied, stats?.hardlinked], [0, 2]);
  assertAllSealed(repository, 'sha512');
  for (const name of Object.keys(content)) {
    assert.equal(lstatSync(join(files, name)).nlink, 2);
    assert.throws(() => writeFileSync(join(files, name), 'x'), { code: 'EPERM' });
  }
});

test('an object that is there already leaves the file of the store as it was', async () => {
  const { store, repository, files } = make('present');
  {
    using opened = await Repository.open(repository, { write: true });
    await opened.objects.put(content.small);
  }
  const stats = await pull(repository, store, { localFetch: 'auto', sealSource: true });
  assert.deepEqual([stats?.present, stats?.hardlinked], [1, 1]);
  assert.equal(measure(join(files, 'small')), undefined);
  assertAllSealed(repository, 'sha512');
});

test('a file that somebody has open for writing is copied', async () => {
  const { store, repository, files } = make('busy');
  const writer = execFileSync('sh', ['-c', `exec 3>>'${files}/large'; sleep 30 >/dev/null 2>&1 & echo $!`], {
    encoding: 'utf8',
  }).trim();
  try {
    const stats = await pull(repository, store, { localFetch: 'auto', sealSource: true });
    assert.deepEqual([stats?.copied, stats?.hardlinked], [1, 1]);
    assertAllSealed(repository, 'sha512');
  } finally {
    process.kill(Number(writer));
  }
});

for (const insecure of [false, true])
  test(`a file that was sealed with the other algorithm is copied: ${insecure ? 'insecure' : 'secure'} repository`, async () => {
    const { store, repository, files } = make(`other-${insecure}`, { insecure });
    execFileSync('fsverity', ['enable', '--hash-alg=sha256', join(files, 'small')]);
    const stats = await pull(repository, store, { localFetch: 'auto', sealSource: true });
    assert.deepEqual([stats?.copied, stats?.hardlinked], [1, 1]);
    assertAllSealed(repository, 'sha512');
    const object = join(repository, 'objects', objectPath(verityDigest(content.small, 'sha512').toString('hex')));
    assert.ok(readFileSync(object).equals(content.small));
  });

test('an insecure repository shares files without sealing them, and its images can be mounted', async () => {
  const { store, repository, files } = make('insecure', { insecure: true });
  const stats = await pull(repository, store, { localFetch: 'auto' });
  assert.deepEqual([stats?.copied, stats?.hardlinked], [0, 2]);
  assert.equal(measure(join(files, 'small')), undefined);
  const folder = `${repository}.mnt`;
  mkdirSync(folder);
  const { status, stderr } = runCli(['--repo', repository, 'oci', 'mount', 'sealed', folder]);
  assert.equal(status, 0, stderr);
  assert.ok(readFileSync(join(folder, 'usr/large')).equals(content.large));
  execFileSync('umount', [folder]);
});
