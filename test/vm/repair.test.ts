import assert from 'node:assert/strict';
import { readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { verityDigest } from '../../src/fsverity/digest.js';
import { openSource } from '../../src/oci/source/open.js';
import { pullImage } from '../../src/oci/pull/pull.js';
import { initRepository } from '../../src/repository/init.js';
import { objectPath } from '../../src/fsverity/object-id.js';
import { Repository } from '../../src/repository/repository.js';
import { runCli } from '../support/cli/run-cli.js';
import { noise } from '../support/random.js';
import { cfsctl, succeed } from '../interop/peers.js';
import { Layout, tarOf } from '../support/images/source-layout.js';
import { assertAllSealed, DEVICES, Disk, assertSound, whyNoCfsctl } from './disks.js';

const CONTENT: Readonly<Record<string, Buffer>> = { block: noise(4096, 'block'), large: noise(1_500_000, 'large') };

let disk: Disk;
let path: string;
let reference: string;
const idOf = (name: string): string => verityDigest(CONTENT[name] as Buffer, 'sha512').toString('hex');
const objectOf = (name: string): string => join(path, 'objects', objectPath(idOf(name)));

before(async () => {
  disk = new Disk(DEVICES.verity);
  path = join(disk.path, 'repair');
  const layout = new Layout(join(disk.path, 'repair-layout'));
  layout.publish({ image: layout.image([{ tar: tarOf(CONTENT) }]) });
  reference = `oci:${layout.path}:image`;
  initRepository(path);
  using repository = await Repository.open(path, { write: true });
  await using source = await openSource(reference);
  await pullImage(repository, source, { name: 'image' });
});
after(() => disk[Symbol.dispose]());

test('an object that lost its fs-verity gets it without a source', async () => {
  rmSync(objectOf('block'));
  writeFileSync(objectOf('block'), CONTENT['block'] as Buffer);
  assert.match(runCli(['--repo', path, 'fsck']).stdout, /object-verity-missing/);
  const { status, stdout } = runCli(['--repo', path, 'fsck', '--repair']);
  assert.equal(status, 0, stdout);
  assert.match(stdout, new RegExp(`^repaired: 1\n  - objects/${objectPath(idOf('block'))}: from itself$`, 'm'));
  assertAllSealed(path, 'sha512');
  await assertSound(path);
});

test('a damaged block is found by reading, which cfsctl does not, and a source replaces the object', async () => {
  disk.flipByte(objectOf('large'), 1_000_000);
  if (whyNoCfsctl === false) assert.match(succeed(cfsctl, ['--repo', path, 'fsck']), /^status: ok$/m);
  const found = runCli(['--repo', path, 'fsck']);
  assert.equal(found.status, 1);
  assert.match(
    found.stdout,
    new RegExp(`object-verity-failed: objects/${objectPath(idOf('large'))}: .*(Input/output error|EIO)`),
  );
  const { status, stdout, stderr } = runCli(['--repo', path, 'fsck', '--repair', '--from', reference]);
  assert.equal(status, 0, stdout + stderr);
  assert.match(stdout, /^repaired: 1$/m);
  disk.remount();
  assertAllSealed(path, 'sha512');
  await assertSound(path);
});

test('without a source it is set aside', () => {
  disk.flipByte(objectOf('large'), 500_000);
  const { status, stdout, stderr } = runCli(['--repo', path, 'fsck', '--repair']);
  assert.equal(status, 1, stdout);
  assert.match(stderr, /^Error: the repository is not whole/);
  assert.deepEqual(readdirSync(join(path, 'quarantine')), [idOf('large')]);
  assert.equal(runCli(['--repo', path, 'fsck', '--repair', '--from', reference]).status, 0);
  assertAllSealed(path, 'sha512');
});
