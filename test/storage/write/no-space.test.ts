// A file system that is full, whatever is to be written next.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { BridgeError } from '../../../src/errors.js';
import { Store } from '../../../src/storage/store.js';
import { openStoreForWriting } from '../../../src/storage/write/open.js';
import { makeStore } from '../../support/images/made-store.js';
import { tarDigest } from '../../support/layers/streams.js';

const skip = process.getuid?.() === 0 ? false : 'only root mounts';
const IMAGE = 'localhost/full:1';
const PAGES = 4096;

let folder: string;
let from: string;
let full: string;
let graphroot: string;

before(() => {
  if (skip) return;
  folder = mkdtempSync(join(tmpdir(), 'no-space-'));
  from = join(folder, 'from');
  const layer = (name: string) => ({
    entries: [
      { name: 'usr/', type: '5', mode: 0o755 },
      { name: `usr/${name}`, content: Buffer.alloc(20_000, name) },
    ],
  });
  makeStore(from, [{ name: IMAGE, layers: [layer('one'), layer('two')] }]);
  full = join(folder, 'full');
  mkdirSync(full);
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m,nr_inodes=200', 'tmpfs', full]);
  graphroot = join(full, 'store');
});

after(() => {
  if (skip) return;
  execFileSync('umount', [full]);
  rmSync(folder, { recursive: true });
});

const remount = (option: string): void =>
  void execFileSync('mount', ['-o', `remount,${option}`, full], { stdio: 'pipe' });

async function put(): Promise<void> {
  using source = Store.open({ graphroot: from });
  await using store = await openStoreForWriting({ graphroot });
  const image = await source.image(IMAGE);
  let topLayer: string | undefined;
  for (const { id, diffId } of await source.layers(image)) {
    const stream = await source.layerStream({ id }, { lease: 'descriptors' });
    ({ id: topLayer } = await store.putLayer(stream, { parent: topLayer, diffId: diffId! }));
  }
  await store.putImage({ manifest: image.manifest(), config: image.config(), topLayer, names: image.names });
}

/** What is said to be there is there, and nothing else is. */
async function check(): Promise<void> {
  if (!existsSync(join(graphroot, 'overlay-images/images.lock'))) return;
  using store = Store.open({ graphroot, driver: 'overlay' });
  for (const image of await store.images())
    for (const layer of await store.layers(image))
      assert.equal(`sha256:${await tarDigest(await store.layerStream(layer))}`, layer.diffId);
  for (const name of ['overlay/tempdirs', 'overlay-layers/tmp'])
    if (existsSync(join(graphroot, name))) assert.deepEqual(readdirSync(join(graphroot, name)), []);
}

/** Puts the image where there is room for one thing more each time. @returns how often there was too little */
async function fill(limit: (room: number) => string, from: number): Promise<number> {
  remount('size=4m,nr_inodes=500');
  rmSync(graphroot, { recursive: true, force: true });
  let failures = 0;
  for (let room = from; room < 500; room++) {
    // A limit below what there is already is refused.
    try {
      remount(limit(room));
    } catch {
      continue;
    }
    try {
      await put();
      return failures;
    } catch (error) {
      assert.ok(error instanceof BridgeError && error.code === 'NO_SPACE', String(error));
      failures++;
    }
    await check();
  }
  return assert.fail('it never fits');
}

for (const [what, limit, least] of [
  ['files', (room: number) => `nr_inodes=${room}`, 2],
  ['pages', (room: number) => `size=${room * PAGES}`, 1],
] as const)
  test(`with room for one of the ${what} more each time, it is said, and nothing is left half-written`, {
    skip,
  }, async (t) => {
    const failures = await fill(limit, least);
    t.diagnostic(`${failures} failures`);
    assert.ok(failures > 8, `only ${failures} failures`);
    await check();
    const records = JSON.parse(readFileSync(join(graphroot, 'overlay-layers/layers.json'), 'utf8')) as object[];
    assert.equal(records.length, 2);
  });
