import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, linkSync, lstatSync, readFileSync, readdirSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { after, before, test } from 'node:test';
import { openPath } from '../../src/fd/fd.js';
import { files } from '../../src/native.js';
import { openSource } from '../../src/oci/source/open.js';
import { pullImage } from '../../src/oci/pull/pull.js';
import { initRepository } from '../../src/repository/init.js';
import { changeAlgorithm, type AlgorithmOptions } from '../../src/repository/migrate/algorithm.js';
import { requireVerity, type SealOptions, type SealReport } from '../../src/repository/migrate/verity.js';
import type { Algorithm } from '../../src/fsverity/object-id.js';
import { Repository } from '../../src/repository/repository.js';
import { cfsbridge, runCli } from '../support/cli/run-cli.js';
import { noise } from '../support/random.js';
import { Layout, tarOf } from '../support/images/source-layout.js';
import { filesBelow, walk } from '../support/walk.js';
import { assertAllSealed, assertSound, DEVICES, Disk, measure, measureAll } from './disks.js';

const FILES = 60;

let verity: Disk;
before(() => {
  verity = new Disk(DEVICES.verity);
  const files = Object.fromEntries(
    Array.from({ length: FILES }, (_, index) => [`file-${index}`, noise(100 + index * 1999, `${index}`)]),
  );
  const layout = new Layout(join(verity.path, 'layout'));
  layout.publish({ image: layout.image([{ tar: tarOf(files) }]) });
});
after(() => verity[Symbol.dispose]());

async function make(name: string, options: { insecure: boolean; algorithm?: Algorithm }): Promise<string> {
  const path = join(verity.path, name);
  initRepository(path, options);
  using repository = await Repository.open(path, { write: true });
  await using source = await openSource(`oci:${verity.path}/layout:image`);
  await pullImage(repository, source, { name: 'image' });
  return path;
}

/** As a repository is that was filled where fs-verity was off: `tune2fs -O verity` came later. */
async function makeUnsealed(name: string, algorithm: Algorithm = 'sha512'): Promise<string> {
  const made = await make(`${name}-made`, { insecure: true, algorithm });
  const path = join(verity.path, name);
  cpSync(made, path, { recursive: true, verbatimSymlinks: true });
  rmSync(made, { recursive: true });
  assert.equal(measureAll(filesBelow(join(path, 'objects')).slice(0, 5)).size, 0);
  return path;
}

async function assertSecure(path: string, algorithm: Algorithm = 'sha512'): Promise<void> {
  assert.match(measure(join(path, 'meta.json')) ?? '', new RegExp(`^${algorithm}:`));
  assertAllSealed(path, algorithm);
  await assertSound(path);
}

async function seal(path: string, options: SealOptions = {}): Promise<SealReport> {
  using repository = await Repository.open(path, { write: true });
  return await requireVerity(repository, path, options);
}

async function change(path: string, algorithm: Algorithm, options: AlgorithmOptions = {}): Promise<void> {
  using repository = await Repository.open(path, { write: true });
  await changeAlgorithm(repository, path, algorithm, options);
}

function namesOf(path: string): string[] {
  return [...walk(path)]
    .filter((entry) => entry.isSymbolicLink())
    .map((entry) => `${entry.path.slice(path.length)} -> ${readlinkSync(entry.path)}`)
    .sort();
}

test('from insecure to fs-verity: every object is sealed where it is', async () => {
  const path = await makeUnsealed('seal');
  const inodes = filesBelow(join(path, 'objects'))
    .map((object) => lstatSync(object).ino)
    .sort();
  const { status, stdout, stderr } = runCli(['--repo', path, 'migrate', '--verity']);
  assert.equal(status, 0, stderr);
  assert.match(
    stdout,
    new RegExp(`requires fs-verity now\n  objects:   ${inodes.length} sealed, 0 already sealed, 0 copied first\n$`),
  );
  await assertSecure(path);
  assert.deepEqual(
    filesBelow(join(path, 'objects'))
      .map((object) => lstatSync(object).ino)
      .sort(),
    inodes,
  );
  assert.deepEqual(await seal(path), { sealed: 0, present: 0, copied: 0 });
});

test('files of a store that are objects stay writable, unless their sealing was agreed to', async () => {
  const path = await makeUnsealed('shared');
  const [one = '', other = ''] = filesBelow(join(path, 'objects'));
  linkSync(one, `${path}.one`);
  assert.equal((await seal(path)).copied, 1);
  assert.equal(measure(`${path}.one`), undefined);
  writeFileSync(`${path}.one`, 'podman writes');
  await assertSecure(path);

  const second = await makeUnsealed('shared-sealed');
  linkSync(other.replace(path, second), `${second}.other`);
  assert.equal((await seal(second, { sealSource: true })).copied, 0);
  assert.throws(() => writeFileSync(`${second}.other`, 'x'), { code: 'EPERM' });
});

test('a damaged object is named, and nothing is required then', async () => {
  const path = await makeUnsealed('damaged');
  const [object = ''] = filesBelow(join(path, 'objects'));
  const content = readFileSync(object);
  writeFileSync(object, Buffer.alloc(content.length, 1));
  await assert.rejects(seal(path), {
    code: 'OBJECTS_DAMAGED',
    message: new RegExp(object.split('/').slice(-2).join('')),
  });
  assert.equal(measure(join(path, 'meta.json')), undefined);
  // Whoever mends it puts another file in its place: this one cannot be written to any more.
  rmSync(object);
  writeFileSync(object, content);
  await seal(path);
  await assertSecure(path);
});

test('where fs-verity is missing the error says what to do', async () => {
  using disk = new Disk(DEVICES.plain);
  const path = join(disk.path, 'nothing');
  initRepository(path, { insecure: true });
  const { status, stderr } = runCli(['--repo', path, 'migrate', '--verity']);
  assert.equal(status, 1);
  assert.match(stderr, /tune2fs -O verity/);
});

for (const [from, to] of [
  ['sha256', 'sha512'],
  ['sha512', 'sha256'],
] as const)
  test(`a secure repository goes from ${from} to ${to}, and is what a pull would make`, async () => {
    const path = await make(`secure-${from}`, { insecure: false, algorithm: from });
    const expected = await make(`expected-${to}`, { insecure: false, algorithm: to });
    await change(path, to);
    await assertSecure(path, to);
    assert.deepEqual(namesOf(path), namesOf(expected));
  });

test('both at once: from an insecure sha256 to a secure sha512', async () => {
  const path = await makeUnsealed('both', 'sha256');
  const { status, stderr } = runCli(['--repo', path, 'migrate', '--algorithm', 'fsverity-sha512-12', '--verity']);
  assert.equal(status, 0, stderr);
  await assertSecure(path, 'sha512');
});

test('from insecure sha256 to sha512 where the old objects are sealed: they cannot be shared', async () => {
  const path = await make('sealed-insecure', { insecure: true, algorithm: 'sha256' });
  await change(path, 'sha512');
  assertAllSealed(path, 'sha512');
  await assertSound(path);
});

test('killed while it seals the repository is sound, and the next call ends what was begun', async () => {
  let kills = 0;
  for (const at of [0, 8, 20, 35]) {
    const path = await makeUnsealed(`killed-${at}`);
    // They are sealed about in this order.
    using object = openPath(filesBelow(join(path, 'objects')).sort()[at] as string);
    const child = spawn(cfsbridge, ['--repo', path, 'migrate', '--verity'], { stdio: 'ignore' });
    const ended = once(child, 'exit');
    while (child.exitCode === null && files.measureVerity(object.number) === undefined) await setTimeout(1);
    child.kill('SIGKILL');
    const [status] = (await ended) as [number | null];
    if (status === null) kills++;
    await assertSound(path);
    await seal(path);
    await assertSecure(path);
    assert.deepEqual(
      readdirSync(path).filter((name) => name.startsWith('.')),
      [],
    );
  }
  assert.ok(kills > 0);
});
