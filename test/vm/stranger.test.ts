// Repositories that fs-verity seals, and their owner is neither root nor the caller.
import assert from 'node:assert/strict';
import { chmodSync, chownSync, lchownSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { verityDigest } from '../../src/fsverity/digest.js';
import { objectPath } from '../../src/fsverity/object-id.js';
import { runCli } from '../support/cli/run-cli.js';
import { noise } from '../support/random.js';
import { succeed } from '../interop/peers.js';
import { Layout, tarOf } from '../support/images/source-layout.js';
import { DEVICES, Disk } from './disks.js';

const STRANGER = 12345;
const program = noise(20_000, 'program');
const other = noise(30_000, 'other');

let verity: Disk;
before(() => {
  verity = new Disk(DEVICES.verity);
  const layout = new Layout(join(verity.path, 'stranger-layout'));
  layout.publish({ image: layout.image([{ tar: tarOf({ program, other }) }]) });
});
after(() => verity[Symbol.dispose]());

function run(repository: string, ...words: string[]): { status: number | null; stdout: string; stderr: string } {
  return runCli(['--repo', repository, ...words]);
}

function pulled(name: string, ...options: string[]): string {
  const repository = join(verity.path, name);
  for (const words of [
    ['init', ...options],
    ['oci', 'pull', `oci:${verity.path}/stranger-layout:image`, 'image'],
  ]) {
    const { status, stderr } = run(repository, ...words);
    assert.equal(status, 0, stderr);
  }
  return repository;
}

function giveAway(path: string): void {
  lchownSync(path, STRANGER, STRANGER);
  for (const entry of readdirSync(path, { recursive: true }) as string[])
    lchownSync(join(path, entry), STRANGER, STRANGER);
}

const object = (repository: string, content: Buffer): string =>
  join(repository, 'objects', objectPath(verityDigest(content, 'sha512').toString('hex')));

test('root mounts what is sealed, nosuid and nodev; an object without its digest cannot be read', () => {
  const repository = pulled('sealed');
  giveAway(repository);
  const folder = `${repository}.mnt`;
  mkdirSync(folder);
  const { status, stderr } = run(repository, 'oci', 'mount', 'image', folder);
  assert.equal(status, 0, stderr);
  try {
    const line =
      readFileSync('/proc/self/mountinfo', 'utf8')
        .split('\n')
        .find((mount) => mount.includes(` ${folder} `)) ?? '';
    const [, , , , , options = ''] = line.split(' ');
    for (const option of ['nosuid', 'nodev', 'ro']) assert.ok(options.split(',').includes(option), line);
    assert.match(line, /verity=require/);
    assert.ok(readFileSync(join(folder, 'usr/program')).equals(program));
  } finally {
    succeed('umount', [folder]);
  }
  succeed('rm', [object(repository, other)]);
  writeFileSync(object(repository, other), other);
  assert.equal(run(repository, 'oci', 'mount', 'image', folder).status, 0);
  try {
    assert.throws(() => readFileSync(join(folder, 'usr/other')), { code: 'EIO' });
  } finally {
    succeed('umount', [folder]);
  }
  assert.equal(run(repository, 'gc').status, 1);
});

test('root does not mount what is sealed and need not be', () => {
  const repository = pulled('sealed-by-chance', '--insecure');
  giveAway(repository);
  for (const options of [[], ['--insecure']]) {
    const { status, stderr } = run(repository, ...options, 'oci', 'mount', 'image', verity.path);
    assert.equal(status, 1);
    assert.match(stderr, /belongs to user 12345 and neither to root nor to you/);
  }
});

test('nor with --insecure what has to be', () => {
  const { status, stderr } = run(
    join(verity.path, 'sealed'),
    '--insecure',
    'oci',
    'mount',
    'image',
    `${verity.path}/sealed.mnt`,
  );
  assert.equal(status, 1);
  assert.match(stderr, /belongs to user 12345 and neither to root nor to you/);
});

test('owner and write bits of an object that is sealed do not matter, and its setuid bit does', () => {
  const repository = pulled('own');
  const path = object(repository, program);
  const fsck = (): string => run(repository, 'fsck').stdout;
  chownSync(path, STRANGER, STRANGER);
  chmodSync(path, 0o666);
  assert.match(fsck(), /^status: ok$/m);
  assert.match(
    run(repository, 'oci', 'pull', `oci:${verity.path}/stranger-layout:image`, 'again').stderr,
    /already there/,
  );
  chmodSync(path, 0o4755);
  assert.match(fsck(), /object-unsafe: objects\/.*: has mode 4755/);
  const { status, stderr } = run(repository, 'fsck', '--repair');
  assert.equal(status, 0, stderr);
  assert.match(fsck(), /^status: ok$/m);
});
