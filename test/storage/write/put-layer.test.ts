// Layers of a store into another one, made by nobody so far.
import assert from 'node:assert/strict';
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { getXattr, setXattr } from '../../../src/fd/xattrs.js';
import { openPath } from '../../../src/fd/fd.js';
import { BridgeError, DigestMismatchError } from '../../../src/errors.js';
import type { LayerStream } from '../../../src/layer/stream.js';
import { Store, type StoredLayer } from '../../../src/storage/store.js';
import { openStoreForWriting } from '../../../src/storage/write/open.js';
import type { WritableStore } from '../../../src/storage/write/writable-store.js';
import { fastFolder } from '../../support/fast-folder.js';
import { makeStore, type MadeEntry } from '../../support/images/made-store.js';
import { hashTar } from '../../support/layers/hash-tar.js';
import { withoutLeak } from '../../support/open-fds.js';
import { walk } from '../../support/walk.js';

const skip = process.getuid?.() === 0 ? false : 'only root writes into a store';
const IMAGE = 'localhost/three:1';

let folder: string;
let from: Store;
let graphroot: string;
let to: WritableStore;

function entries(layer: number): MadeEntry[] {
  const made = Array.from({ length: 20 }, (_, i) => ({
    name: `usr/file${layer}-${i}`,
    content: Buffer.alloc(i === 0 ? 300_000 : 1 + i * 97, `${layer}/${i} `),
  }));
  return [{ name: 'usr/', type: '5', mode: 0o755 }, ...made];
}

beforeEach(async () => {
  if (skip) return;
  folder = mkdtempSync(join(fastFolder, 'put-layer-'));
  makeStore(join(folder, 'from'), [{ name: IMAGE, layers: [0, 1, 2].map((layer) => ({ entries: entries(layer) })) }]);
  from = Store.open({ graphroot: join(folder, 'from') });
  graphroot = join(folder, 'new/store');
  to = await openStoreForWriting({ graphroot });
});

afterEach(async () => {
  if (skip) return;
  await to.close();
  from.close();
  rmSync(folder, { recursive: true });
});

const layersOf = async (): Promise<StoredLayer[]> => await from.layers(await from.image(IMAGE));
const streamOf = async (layer: StoredLayer): Promise<LayerStream> =>
  await from.layerStream(layer, { lease: 'descriptors' });
const layerRecords = (): Record<string, unknown>[] =>
  JSON.parse(readFileSync(join(graphroot, 'overlay-layers/layers.json'), 'utf8')) as Record<string, unknown>[];

async function putAll(): Promise<string[]> {
  const ids: string[] = [];
  for (const layer of await layersOf()) {
    const { id } = await to.putLayer(await streamOf(layer), { parent: ids.at(-1), diffId: layer.diffId! });
    ids.push(id);
  }
  return ids;
}

/** What is in the folders that staging goes through. */
function staged(): string[] {
  return ['overlay/tempdirs', 'overlay-layers/tmp']
    .map((name) => join(graphroot, name))
    .flatMap((name) => (existsSync(name) ? readdirSync(name) : []));
}

/** Everything that is in the store. */
function snapshot(): string[] {
  return [...walk(graphroot)].map((entry) => {
    const { mode, size } = lstatSync(entry.path);
    return `${entry.path} ${mode.toString(8)}${entry.isDirectory() ? '' : ` ${size}`}`;
  });
}

test('layers come out as they went in, under the ids that podman gives them', { skip }, async () => {
  const layers = await layersOf();
  const ids = await withoutLeak(putAll);
  assert.equal(ids[0], layers[0]!.diffId!.slice('sha256:'.length));
  const image = await from.image(IMAGE);
  const { id, existed } = await to.putImage({
    manifest: image.manifest(),
    config: image.config(),
    topLayer: ids[2],
    names: ['three'],
  });
  assert.equal(id, image.id);
  assert.equal(existed, false);
  const copy = await to.reader.image('three');
  for (const layer of await to.reader.layers(copy)) {
    await using stream = await to.reader.layerStream(layer);
    assert.equal(await hashTar(stream), layer.diffId);
  }
  assert.deepEqual(staged(), []);
});

test('the folder of a layer is that of podman', { skip }, async () => {
  const [base, middle, top] = (await putAll()) as [string, string, string];
  const file = (id: string, name: string): string => readFileSync(join(graphroot, 'overlay', id, name), 'latin1');
  assert.deepEqual(readdirSync(join(graphroot, 'overlay', base)).sort(), ['diff', 'empty', 'link', 'merged', 'work']);
  assert.deepEqual(readdirSync(join(graphroot, 'overlay', top)).sort(), [
    ...['diff', 'link', 'lower', 'lower-layers', 'merged', 'work'],
  ]);
  for (const id of [base, middle, top]) {
    assert.match(file(id, 'link'), /^[A-Z2-7]{26}$/);
    assert.equal(readlinkSync(join(graphroot, 'overlay/l', file(id, 'link'))), `../${id}/diff`);
    assert.equal(lstatSync(join(graphroot, 'overlay', id)).mode & 0o7777, 0o700);
    assert.equal(lstatSync(join(graphroot, 'overlay', id, 'diff')).mode & 0o7777, 0o555);
  }
  assert.equal(file(top, 'lower'), `l/${file(middle, 'link')}:l/${file(base, 'link')}`);
  assert.equal(file(top, 'lower-layers'), `${middle}:${base}`);
  assert.equal(lstatSync(join(graphroot, `overlay-layers/${top}.tar-split.gz`)).mode & 0o7777, 0o600);
});

test('the record says what was verified, in the order of Go', { skip }, async () => {
  const [layer] = (await layersOf()) as [StoredLayer];
  const diffId = layer.diffId!;
  const compressed = { digest: `sha256:${'b'.repeat(64)}`, size: 77, compression: 'zstd' } as const;
  await to.putLayer(await streamOf(layer), { diffId, compressed });
  const [record] = layerRecords();
  assert.deepEqual(Object.entries({ ...record, created: '' }), [
    ['id', diffId.slice('sha256:'.length)],
    ['created', ''],
    ['compressed-diff-digest', compressed.digest],
    ['compressed-size', 77],
    ['diff-digest', diffId],
    ['diff-size', layer.size],
    ['compression', 4],
    ['uidset', [0]],
    ['gidset', [0]],
  ]);
  assert.match(String(record?.['created']), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d*[1-9])?Z$/);
});

test('a layer that is there is not written again, and its stream not read', { skip }, async () => {
  const [base] = await putAll();
  const [layer] = (await layersOf()) as [StoredLayer];
  const before = snapshot();
  const unreadable: LayerStream = {
    [Symbol.asyncIterator]: () => assert.fail('it is read'),
    [Symbol.asyncDispose]: async () => {},
  };
  const result = await to.putLayer(unreadable, { diffId: layer.diffId! });
  assert.deepEqual(result, { id: base, reused: true, extracted: undefined });
  assert.equal(await to.findLayer({ diffId: layer.diffId! }), base);
  assert.equal(await to.findLayer({ diffId: layer.diffId!, parent: base }), undefined);
  assert.deepEqual(snapshot(), before);
});

test('a layer whose files are gone is written again, under another id', { skip }, async () => {
  const [base] = await putAll();
  rmSync(join(graphroot, 'overlay', base!, 'diff'), { recursive: true });
  const [layer] = (await layersOf()) as [StoredLayer];
  const { id, reused } = await to.putLayer(await streamOf(layer), { diffId: layer.diffId! });
  assert.equal(reused, false);
  assert.notEqual(id, base);
  assert.match(id, /^[0-9a-f]{64}$/);
});

test('what lies where a layer goes is put away', { skip }, async () => {
  const [layer] = (await layersOf()) as [StoredLayer];
  const id = layer.diffId!.slice('sha256:'.length);
  mkdirSync(join(graphroot, 'overlay', id, 'diff'), { recursive: true });
  writeFileSync(join(graphroot, 'overlay', id, 'odd'), 'x');
  mkdirSync(join(graphroot, 'overlay-layers', id));
  await to.putLayer(await streamOf(layer), { diffId: layer.diffId! });
  assert.equal(existsSync(join(graphroot, 'overlay', id, 'odd')), false);
  assert.equal(existsSync(join(graphroot, 'overlay-layers', id)), false);
});

const refused = (code: string) => (error: unknown) => error instanceof BridgeError && error.code === code;

test('a layer that is not what was said is not seen', { skip }, async () => {
  const [layer] = (await layersOf()) as [StoredLayer];
  const before = snapshot();
  const options = { diffId: `sha256:${'0'.repeat(64)}` };
  await withoutLeak(async () => {
    await assert.rejects(to.putLayer(await streamOf(layer), options), DigestMismatchError);
  });
  assert.deepEqual(
    snapshot().filter((line) => !/\/(?:tmp|tempdirs) /.test(line)),
    before,
  );
});

test('a parent that is not there is refused before anything is read', { skip }, async () => {
  const [layer] = (await layersOf()) as [StoredLayer];
  const options = { diffId: layer.diffId!, parent: 'f'.repeat(64) };
  await assert.rejects(to.putLayer(await streamOf(layer), options), refused('LAYER_GONE'));
});

test('a parent that goes while the layer is unpacked is noticed', { skip }, async () => {
  const [base, next] = (await layersOf()) as [StoredLayer, StoredLayer];
  const { id: parent } = await to.putLayer(await streamOf(base), { diffId: base.diffId! });
  const content = await streamOf(next);
  const stream: LayerStream = {
    async *[Symbol.asyncIterator]() {
      yield* content;
      writeFileSync(join(graphroot, 'overlay-layers/layers.json'), '[]');
    },
    [Symbol.asyncDispose]: async () => await content[Symbol.asyncDispose](),
  };
  await assert.rejects(to.putLayer(stream, { diffId: next.diffId!, parent }), refused('LAYER_GONE'));
  assert.deepEqual(layerRecords(), []);
  assert.deepEqual(staged(), []);
});

for (const [what, member] of [
  ['mapped ids', { uidmap: [{ container_id: 0, host_id: 1000, size: 10 }] }],
  ['a flag that nobody knows', { flags: { 'not-yet': true } }],
] as const)
  test(`a parent with ${what} is refused`, { skip }, async () => {
    const [base, next] = (await layersOf()) as [StoredLayer, StoredLayer];
    const { id: parent } = await to.putLayer(await streamOf(base), { diffId: base.diffId! });
    const changed = layerRecords().map((record) => ({ ...record, ...member }));
    writeFileSync(join(graphroot, 'overlay-layers/layers.json'), JSON.stringify(changed));
    const options = { diffId: next.diffId!, parent };
    await assert.rejects(to.putLayer(await streamOf(next), options), refused('STORE_UNSUPPORTED'));
  });

test('a parent that is stored for composefs is refused', { skip }, async () => {
  const [base, next] = (await layersOf()) as [StoredLayer, StoredLayer];
  const { id: parent } = await to.putLayer(await streamOf(base), { diffId: base.diffId! });
  mkdirSync(join(graphroot, 'overlay', parent, 'composefs-data'));
  const options = { diffId: next.diffId!, parent };
  await assert.rejects(to.putLayer(await streamOf(next), options), refused('STORE_UNSUPPORTED'));
});

test('two writers of one layer at once end with one layer', { skip }, async () => {
  const [layer] = (await layersOf()) as [StoredLayer];
  await using other = await openStoreForWriting({ graphroot });
  const results = await Promise.all(
    [to, other].map(async (store) => await store.putLayer(await streamOf(layer), { diffId: layer.diffId! })),
  );
  assert.deepEqual(results.map(({ reused }) => reused).sort(), [false, true]);
  assert.equal(layerRecords().length, 1);
  assert.deepEqual(staged(), []);
});

test('unknown members and unfinished layers of others: the ones stay, the others go with their files', {
  skip,
}, async () => {
  const [base, next] = (await layersOf()) as [StoredLayer, StoredLayer];
  const { id } = await to.putLayer(await streamOf(base), { diffId: base.diffId! });
  const [record] = layerRecords();
  const unfinished = { id: 'a'.repeat(64), flags: { incomplete: true } };
  const text = `[${JSON.stringify({ ...record, 'not-yet': [1] })} , ${JSON.stringify(unfinished)}]`;
  writeFileSync(join(graphroot, 'overlay-layers/layers.json'), text);
  mkdirSync(join(graphroot, 'overlay', unfinished.id, 'diff'), { recursive: true });
  writeFileSync(join(graphroot, `overlay-layers/${unfinished.id}.tar-split.gz`), '');
  await to.putLayer(await streamOf(next), { diffId: next.diffId!, parent: id });
  assert.deepEqual(layerRecords()[0], { ...record, 'not-yet': [1] });
  assert.equal(layerRecords().length, 2);
  assert.equal(existsSync(join(graphroot, 'overlay', unfinished.id)), false);
  assert.equal(existsSync(join(graphroot, `overlay-layers/${unfinished.id}.tar-split.gz`)), false);
});

test('a layer gets the label of the store', { skip }, async () => {
  const [base] = (await layersOf()) as [StoredLayer];
  const wanted = Buffer.from('system_u:object_r:container_ro_file_t:s0\0');
  {
    using overlay = openPath(join(graphroot, 'overlay'));
    setXattr(overlay, 'security.selinux', wanted);
  }
  const { id } = await to.putLayer(await streamOf(base), { diffId: base.diffId! });
  for (const path of [id, `${id}/diff`]) {
    using made = openPath(join(graphroot, 'overlay', path));
    assert.deepEqual(getXattr(made, 'security.selinux'), wanted);
  }
});

test('with force_mask the modes are forced, also where the parent has them so', { skip }, async () => {
  const forced = join(folder, 'forced');
  const writing = { driverOptions: ['overlay.force_mask=0711'] };
  await using store = await openStoreForWriting({ graphroot: forced, writing });
  let parent: string | undefined;
  for (const layer of await layersOf()) {
    ({ id: parent } = await store.putLayer(await streamOf(layer), { parent, diffId: layer.diffId! }));
    const diff = join(forced, 'overlay', parent, 'diff');
    for (const path of ['', 'usr']) assert.equal(lstatSync(join(diff, path)).mode & 0o7777, 0o711, path);
    using root = openPath(diff);
    assert.equal(getXattr(root, 'user.containers.override_stat')?.toString(), '0:0:0755:dir');
  }
});

test('a layer gets mode and owner of the one below', { skip }, async () => {
  const [base, next] = (await layersOf()) as [StoredLayer, StoredLayer];
  const { id: parent } = await to.putLayer(await streamOf(base), { diffId: base.diffId! });
  const diffOf = (id: string): string => join(graphroot, 'overlay', id, 'diff');
  chownSync(diffOf(parent), 12, 34);
  chmodSync(diffOf(parent), 0o751);
  const { id } = await to.putLayer(await streamOf(next), { diffId: next.diffId!, parent });
  const { uid, gid, mode } = lstatSync(diffOf(id));
  assert.deepEqual([uid, gid, mode & 0o7777], [12, 34, 0o751]);
});
