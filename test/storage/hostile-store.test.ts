import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { Store } from '../../src/storage/store.js';
import { smallIndex, smallResults, unpackSmallStore, type SmallStore } from '../support/images/small-store.js';

const index = smallIndex();
const alpha = index['alpha:v2']!;
const [base, top] = smallResults(alpha).store_layer_chain as [string, string];

let clean: SmallStore;
let graphroot: string;
let store: Store;
let descriptors: number;

before(() => {
  clean = unpackSmallStore();
  graphroot = join(clean.graphroot, 'copy');
});

beforeEach(() => {
  rmSync(graphroot, { recursive: true, force: true });
  mkdirSync(graphroot);
  for (const part of ['overlay-layers', 'overlay-images'])
    execFileSync('cp', ['-a', join(clean.graphroot, part), graphroot]);
  symlinkSync('../overlay', join(graphroot, 'overlay'));
  descriptors = readdirSync('/proc/self/fd').length;
  store = Store.open({ graphroot });
});

afterEach(() => {
  store[Symbol.dispose]();
  assert.equal(readdirSync('/proc/self/fd').length, descriptors, 'a descriptor was left open');
});

after(() => clean.remove());

interface LayerRecord {
  id: string;
  [key: string]: unknown;
}

function changeLayer(id: string, change: object): void {
  const path = join(graphroot, 'overlay-layers/layers.json');
  const layers = JSON.parse(readFileSync(path, 'utf8')) as LayerRecord[];
  writeFileSync(
    `${path}.new`,
    JSON.stringify(layers.map((layer) => (layer.id === id ? { ...layer, ...change } : layer))),
  );
  renameSync(`${path}.new`, path);
}

const recipe = (id: string): string => join(graphroot, `overlay-layers/${id}.tar-split.gz`);

async function drain(id: string, options: { signal?: AbortSignal } = {}): Promise<void> {
  await using stream = await store.layerStream({ id }, options);
  for await (const batch of stream) assert.ok(batch.length > 0);
}

test('an incomplete layer does not exist', async () => {
  changeLayer(base, { flags: { incomplete: true } });
  await assert.rejects(drain(base), { code: 'NOT_FOUND', place: { layer: base } });
  await assert.rejects(store.layers(await store.image(alpha.image_id)), { code: 'NOT_FOUND' });
});

test('layers that form a loop', async () => {
  changeLayer(base, { parent: top });
  await assert.rejects(store.layers(await store.image(alpha.image_id)), { code: 'LAYER_CHAIN' });
});

test("a chain that is not the config's", async () => {
  changeLayer(base, { 'diff-digest': `sha256:${'0'.repeat(64)}` });
  await assert.rejects(store.layers(await store.image(alpha.image_id)), {
    code: 'DIGEST_MISMATCH',
    place: { layer: base },
  });
  changeLayer(top, { parent: undefined });
  await assert.rejects(store.layers(await store.image(alpha.image_id)), { code: 'LAYER_CHAIN' });
});

test('a layer without diff_id gets that of the config', async () => {
  changeLayer(base, { 'diff-digest': undefined, 'diff-size': -1 });
  const [layer] = await store.layers(await store.image(alpha.image_id));
  assert.equal(layer!.diffId, smallResults(alpha).diff_ids[0]);
  assert.equal(layer!.size, undefined);
});

const BAD_IDS = ['../../etc', '/etc', '', '..', 'a/b', 'x\0y'];

for (const id of BAD_IDS) {
  test(`a layer called ${JSON.stringify(id)} is refused, and the others are not`, async () => {
    changeLayer(base, { id });
    await assert.rejects(drain(id), { code: 'BAD_JSON' });
    await drain(top);
  });
}

test('config or manifest whose bytes were changed', async () => {
  const dir = join(graphroot, 'overlay-images', alpha.image_id);
  const file = (key: string): string => join(dir, `=${Buffer.from(key).toString('base64')}`);
  writeFileSync(file(`sha256:${alpha.image_id}`), '{}');
  const image = await store.image(alpha.image_id);
  assert.throws(() => image.config(), { code: 'DIGEST_MISMATCH' });
  writeFileSync(file(`manifest-${alpha.manifest_digest}`), '{"schemaVersion":2}');
  const again = await store.image(alpha.image_id);
  assert.throws(() => again.manifest(), { code: 'DIGEST_MISMATCH' });
});

test('a layer without tar-split is refused with the reason', async () => {
  rmSync(recipe(base));
  await assert.rejects(drain(base), { code: 'NO_TAR_SPLIT', message: /tar-split.*container/, place: { layer: base } });
});

test('tar-split that is a symlink or a fifo is not opened', async () => {
  const kept = `${recipe(base)}.kept`;
  renameSync(recipe(base), kept);
  symlinkSync(kept, recipe(base));
  await assert.rejects(drain(base), { code: 'ELOOP' });
  rmSync(recipe(base));
  execFileSync('mkfifo', [recipe(base)]);
  await assert.rejects(drain(base), { code: 'NOT_A_FILE' });
});

test('tar-split that is cut short, garbage, or empty', async () => {
  const whole = readFileSync(recipe(base));
  for (const bytes of [whole.subarray(0, whole.length / 2), Buffer.from('garbage'), Buffer.alloc(0), gzipSync('')]) {
    writeFileSync(recipe(base), bytes);
    await assert.rejects(drain(base), { code: 'BAD_TAR_SPLIT', message: new RegExp(base) });
  }
});

test('a bomb stops at the size the tar can have', async () => {
  const line = `{"type":2,"payload":"${'A'.repeat(1 << 20)}"}\n`;
  writeFileSync(recipe(base), gzipSync(line.repeat(100)));
  const peak = process.memoryUsage().arrayBuffers;
  await assert.rejects(drain(base), { code: 'BAD_TAR_SPLIT', message: /more than the 1301504 bytes/ });
  assert.ok(process.memoryUsage().arrayBuffers - peak < 32 << 20);
});

test('aborting ends the stream with the reason', async () => {
  const controller = new AbortController();
  await using stream = await store.layerStream({ id: base }, { signal: controller.signal });
  const reading = (async () => {
    for await (const batch of stream) if (batch.length > 0) controller.abort(new Error('enough'));
  })();
  await assert.rejects(reading, /enough/);
});

test('a stream that is disposed half read lets go of everything', async () => {
  const stream = await store.layerStream({ id: base });
  await stream[Symbol.asyncIterator]().next();
  await stream[Symbol.asyncDispose]();
  assert.equal(lockFinds(), 'free');
});

function lockFinds(): string {
  const program =
    'import fcntl,sys\ntry:\n fcntl.lockf(open(sys.argv[1],"r+b"),fcntl.LOCK_EX|fcntl.LOCK_NB)\n ' +
    'print("free")\nexcept OSError: print("busy")';
  return execFileSync('python3', ['-c', program, join(graphroot, 'overlay-layers/layers.lock')], {
    encoding: 'utf8',
  }).trim();
}

test('the lock is held while a leased stream lives, and not with descriptors only', async () => {
  {
    await using stream = await store.layerStream({ id: base });
    assert.ok(stream);
    assert.equal(lockFinds(), 'busy');
  }
  await using stream = await store.layerStream({ id: base }, { lease: 'descriptors' });
  assert.ok(stream);
  assert.equal(lockFinds(), 'free');
});
