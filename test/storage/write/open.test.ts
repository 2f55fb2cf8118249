import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { BridgeError } from '../../../src/errors.js';
import { openStoreForWriting, type OpenForWritingOptions } from '../../../src/storage/write/open.js';
import { holdLock } from '../../support/lock-probe.js';
import { withoutLeak } from '../../support/open-fds.js';
import { walk } from '../../support/walk.js';

const skip = process.getuid?.() === 0 ? false : 'only root writes into a store';

let folder: string;
let graphroot: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'open-store-'));
  graphroot = join(folder, 'a/store');
});

afterEach(() => rmSync(folder, { recursive: true }));

async function open(options: Partial<OpenForWritingOptions> = {}): Promise<void> {
  await withoutLeak(async () => await (await openStoreForWriting({ graphroot, ...options })).close());
}

const refusedAs =
  (code: string, said = '') =>
  (error: unknown) =>
    error instanceof BridgeError && error.code === code && error.message.includes(said);

test('a store that is not there becomes what podman makes in an empty folder', { skip }, async () => {
  await open();
  const found = [...walk(graphroot)].map(({ path }) => {
    const { mode, size } = lstatSync(path);
    return `${(mode & 0o7777).toString(8)} ${relative(graphroot, path)}${(mode & 0o40000) !== 0 ? '' : ` ${size}`}`;
  });
  // podman 5.8.6, without its own: db.sql, libpod, volumes, defaultNetworkBackend.
  assert.deepEqual(found.sort(), [
    '600 overlay/.has-mount-program 5',
    '644 overlay-containers/containers.lock 0',
    '644 overlay-images/images.lock 0',
    '644 overlay-layers/layers.lock 0',
    '644 storage.lock 64',
    '644 userns.lock 0',
    '700 overlay-containers',
    '700 overlay-images',
    '700 overlay-layers',
    '755 overlay',
    '755 overlay/l',
  ]);
  assert.equal(lstatSync(graphroot).mode & 0o7777, 0o700);
  assert.equal(readFileSync(join(graphroot, 'overlay/.has-mount-program'), 'utf8'), 'false');
});

test('a store that is there stays as it is', { skip }, async () => {
  await open();
  const before = [...walk(graphroot)].map(({ path }) => `${path} ${lstatSync(path).ino}`);
  await open();
  assert.deepEqual(
    [...walk(graphroot)].map(({ path }) => `${path} ${lstatSync(path).ino}`),
    before,
  );
});

test('with `create: false` a store that is not there is an error, and nothing is made', { skip }, async () => {
  await assert.rejects(open({ create: false }), refusedAs('NOT_FOUND'));
  assert.equal(existsSync(join(folder, 'a')), false);
});

test('a store of another driver is refused, whoever says which it is', { skip }, async () => {
  for (const name of ['vfs-layers', 'vfs-images', 'vfs-containers'])
    mkdirSync(join(graphroot, name), { recursive: true });
  await assert.rejects(open(), refusedAs('UNKNOWN_DRIVER', 'vfs'));
  mkdirSync(join(folder, 'b/btrfs-layers'), { recursive: true });
  await assert.rejects(open({ graphroot: join(folder, 'b') }), refusedAs('UNKNOWN_DRIVER', 'btrfs'));
  assert.deepEqual(readdirSync(join(folder, 'b')), ['btrfs-layers']);
});

test('a store of somebody else is refused', { skip }, async () => {
  await open();
  chownSync(join(graphroot, 'overlay'), 4711, 4711);
  await assert.rejects(open(), refusedAs('STORE_UNSUPPORTED', '4711'));
});

test('a store on a file system that is read-only is refused', { skip }, async () => {
  await open();
  const mounts = ['mount', '--bind', graphroot, graphroot];
  assert.equal(spawnSync(mounts[0]!, mounts.slice(1)).status, 0);
  try {
    assert.equal(spawnSync('mount', ['-o', 'remount,bind,ro', graphroot]).status, 0);
    await assert.rejects(open(), refusedAs('STORE_READ_ONLY'));
  } finally {
    spawnSync('umount', [graphroot]);
  }
});

test('a store that another program makes just now is waited for, and given up after a while', { skip }, async () => {
  mkdirSync(graphroot, { recursive: true });
  writeFileSync(join(graphroot, 'storage.lock'), '');
  const release = await holdLock(join(graphroot, 'storage.lock'));
  await assert.rejects(open({ timeout: 50 }), refusedAs('STORE_BUSY'));
  const opened = open();
  await release();
  await opened;
});

test('staging folders that nobody uses are removed, those in use stay', { skip }, async () => {
  await open();
  for (const above of ['overlay/tempdirs', 'overlay-layers/tmp']) {
    const path = join(graphroot, above);
    mkdirSync(join(path, 'temp-dir-1/0-addition/diff'), { recursive: true });
    writeFileSync(join(path, 'temp-dir-1/0-addition/diff/file'), 'x');
    writeFileSync(join(path, 'lock-1'), '');
    writeFileSync(join(path, 'lock-2'), '');
    mkdirSync(join(path, 'temp-dir-3'));
    mkdirSync(join(path, 'other'));
  }
  const used = join(graphroot, 'overlay/tempdirs/lock-used');
  writeFileSync(used, '');
  mkdirSync(join(graphroot, 'overlay/tempdirs/temp-dir-used'));
  const release = await holdLock(used);
  await open();
  assert.deepEqual(readdirSync(join(graphroot, 'overlay/tempdirs')).sort(), ['lock-used', 'other', 'temp-dir-used']);
  assert.deepEqual(readdirSync(join(graphroot, 'overlay-layers/tmp')), ['other']);
  await release();
  await open();
  assert.deepEqual(readdirSync(join(graphroot, 'overlay/tempdirs')), ['other']);
});
