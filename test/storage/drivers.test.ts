import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { cpSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { Store } from '../../src/storage/store.js';
import { smallIndex, smallResults, unpackSmallStore, type SmallStore } from '../support/images/small-store.js';
import { hashTar } from '../support/layers/hash-tar.js';
import { filesBelow } from '../support/walk.js';

const image = smallIndex()['zeta:f300']!;
const { diff_ids: diffIds, store_layer_chain: chain } = smallResults(image);
const layer = chain[0]!;

let small: SmallStore;

beforeEach(() => {
  small = unpackSmallStore();
});

afterEach(() => small.remove());

const path = (name: string): string => join(small.graphroot, name);

async function diffIdFrom(store: Store): Promise<string> {
  const [first] = await store.layers(await store.image(image.image_id));
  await using stream = await store.layerStream(first!);
  return await hashTar(stream);
}

/** A base layer of the vfs driver is its own content and nothing else, so an overlay one can be moved there. */
function toVfs(): void {
  mkdirSync(path('vfs/dir'), { recursive: true });
  renameSync(path(`overlay/${layer}/diff`), path(`vfs/dir/${layer}`));
  for (const part of ['layers', 'images']) renameSync(path(`overlay-${part}`), path(`vfs-${part}`));
  rmSync(path('overlay'), { recursive: true });
}

test('vfs: the driver is told from the directories', async () => {
  toVfs();
  using store = Store.open({ graphroot: small.graphroot });
  assert.equal(store.driver, 'vfs');
  assert.equal(await diffIdFrom(store), diffIds[0]);
});

test('several drivers: the caller has to say', async () => {
  cpSync(path('overlay-layers'), path('vfs-layers'), { recursive: true });
  assert.throws(() => Store.open({ graphroot: small.graphroot }), {
    code: 'UNKNOWN_DRIVER',
    message: /overlay.*vfs|vfs.*overlay/,
  });
  using store = Store.open({ graphroot: small.graphroot, driver: 'overlay' });
  assert.equal(await diffIdFrom(store), diffIds[0]);
});

test('a graph root that is none', () => {
  assert.throws(() => Store.open({ graphroot: path('nowhere') }), { code: 'NOT_FOUND' });
  assert.throws(() => Store.open({ graphroot: path('overlay-containers') }), { code: 'NOT_FOUND' });
  assert.throws(() => Store.open({ graphroot: small.graphroot, driver: 'vfs' }), { code: 'NOT_FOUND' });
});

test('a separate image store is read first', async () => {
  const moved = path('images');
  mkdirSync(moved);
  for (const part of ['overlay', 'overlay-layers', 'overlay-images']) {
    renameSync(path(part), join(moved, part));
    mkdirSync(path(part));
  }
  writeFileSync(path('overlay-layers/layers.json'), '[]');
  using store = Store.open({ graphroot: small.graphroot, imagestore: moved });
  assert.equal(await diffIdFrom(store), diffIds[0]);
});

test('a layer of an additional layer store lies behind an absolute symlink', async () => {
  renameSync(path(`overlay/${layer}/diff`), path('elsewhere'));
  symlinkSync(path('elsewhere'), path(`overlay/${layer}/diff`));
  using store = Store.open({ graphroot: small.graphroot });
  await assert.rejects(diffIdFrom(store), { code: 'ELOOP' });
  writeFileSync(path(`overlay/${layer}/additionallayer`), '');
  assert.equal(await diffIdFrom(store), diffIds[0]);
});

interface TocEntry {
  type: string;
  name: string;
  digest?: string;
}

/** Stores the layer as the overlay driver does with use_composefs: files named by content, names only in a table. */
function toFlat(): TocEntry[] {
  const diff = path(`overlay/${layer}/diff`);
  const flat = path('flat');
  const entries: TocEntry[] = [];
  for (const file of filesBelow(diff)) {
    const hex = createHash('sha256').update(readFileSync(file)).digest('hex');
    const target = join(flat, hex.slice(0, 2), hex.slice(2));
    mkdirSync(dirname(target), { recursive: true });
    cpSync(file, target);
    entries.push({ type: 'reg', name: `./${relative(diff, file)}`, digest: `sha256:${hex}` });
  }
  rmSync(diff, { recursive: true });
  renameSync(flat, diff);
  mkdirSync(path(`overlay/${layer}/composefs-data`));
  writeFileSync(path(`overlay/${layer}/composefs-data/composefs.blob`), 'any');
  return entries;
}

function writeTable(entries: TocEntry[]): void {
  mkdirSync(path(`overlay-layers/${layer}`), { recursive: true });
  const file = `=${Buffer.from('zstd-chunked-manifest').toString('base64')}`;
  writeFileSync(path(`overlay-layers/${layer}/${file}`), JSON.stringify({ version: 1, entries }));
}

test('a layer stored flat for composefs', async () => {
  const entries = toFlat();
  using store = Store.open({ graphroot: small.graphroot });
  await assert.rejects(diffIdFrom(store), { code: 'NO_NAMES', place: { layer } });
  writeTable(entries);
  assert.equal(await diffIdFrom(store), diffIds[0]);
});

test('a table of contents that lacks a file or leads outside', async () => {
  const entries = toFlat();
  using store = Store.open({ graphroot: small.graphroot });
  writeTable(entries.slice(1));
  await assert.rejects(diffIdFrom(store), { code: 'UNKNOWN_FILE' });
  writeTable(entries.map((entry) => ({ ...entry, digest: 'sha256:../../../../../etc/passwd' })));
  await assert.rejects(diffIdFrom(store), { code: 'BAD_DIGEST' });
});
