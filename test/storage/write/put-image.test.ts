// Images on the layers of a store that podman's library wrote.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { BridgeError, DigestMismatchError } from '../../../src/errors.js';
import { openStoreForWriting } from '../../../src/storage/write/open.js';
import type { ImageToPut } from '../../../src/storage/write/put-image.js';
import type { WritableStore } from '../../../src/storage/write/writable-store.js';
import {
  smallIndex,
  smallFile,
  smallResults,
  unpackSmallStore,
  type SmallStore,
} from '../../support/images/small-store.js';
import { fastFolder } from '../../support/fast-folder.js';
import { withoutLeak } from '../../support/open-fds.js';

interface ImageRecord {
  id: string;
  digest: string;
  names?: string[];
  'names-history'?: string[];
  metadata: string;
  'big-data-names': string[];
}

const skip = process.getuid?.() === 0 ? false : 'only root writes into a store';
const index = smallIndex();
const [alpha, beta] = [index['alpha:v2']!, index['alpha:v3']!];
const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

let small: SmallStore;
let store: WritableStore;

beforeEach(async () => {
  if (skip) return;
  small = unpackSmallStore(fastFolder);
  store = await openStoreForWriting({ graphroot: small.graphroot });
});

afterEach(async () => {
  if (skip) return;
  await store.close();
  small.remove();
});

const imagesJson = (): string => join(small.graphroot, 'overlay-images/images.json');
const records = (): ImageRecord[] => JSON.parse(readFileSync(imagesJson(), 'utf8')) as ImageRecord[];
const recordOf = (id: string): ImageRecord | undefined => records().find((record) => record.id === id);

/** An image as the store has it. */
function imageOf(image: typeof alpha, names: readonly string[] = image.names): ImageToPut {
  const [topLayer] = smallResults(image).store_layer_chain.slice(-1);
  return { manifest: smallFile(image, 'manifest.json'), config: smallFile(image, 'config.json'), topLayer, names };
}

test('an image that was removed comes back byte for byte as podman wrote it, save for its place', {
  skip,
}, async () => {
  const before = records();
  const wrote = before.find(({ id }) => id === alpha.image_id);
  writeFileSync(imagesJson(), JSON.stringify(before.filter((record) => record !== wrote)));
  const { id, existed } = await withoutLeak(() => store.putImage(imageOf(alpha)));
  assert.deepEqual({ id, existed }, { id: alpha.image_id, existed: false });
  const text = readFileSync(imagesJson(), 'utf8');
  assert.ok(text.endsWith(`,${JSON.stringify(wrote)}]`), text.slice(-2000));
  const image = await store.reader.image(alpha.image_id);
  assert.deepEqual(image.manifest(), smallFile(alpha, 'manifest.json'));
  assert.deepEqual(image.config(), smallFile(alpha, 'config.json'));
  assert.equal((await store.reader.layers(image)).length, alpha.n_layers);
});

test('the same image again changes nothing but what is asked for', { skip }, async () => {
  const before = readFileSync(imagesJson(), 'utf8');
  assert.equal((await store.putImage(imageOf(alpha))).existed, true);
  assert.equal(readFileSync(imagesJson(), 'utf8'), before);
});

test('a name moves from the image that has it, which keeps it in its history', { skip }, async () => {
  const [name] = beta.names as [string];
  await store.putImage(imageOf(alpha, [name]));
  assert.deepEqual(recordOf(alpha.image_id)?.names, [name, ...alpha.names]);
  assert.equal(recordOf(beta.image_id)?.names, undefined);
  assert.deepEqual(recordOf(beta.image_id)?.['names-history'], beta.names);
});

test('names are completed as docker does, and their history is taken along', { skip }, async () => {
  await store.putImage({ ...imageOf(alpha, ['debian:12', 'debian']), namesHistory: ['localhost/older:1'] });
  const record = recordOf(alpha.image_id);
  assert.deepEqual(record?.names?.slice(0, 2), ['docker.io/library/debian:12', 'docker.io/library/debian:latest']);
  assert.equal(record?.['names-history']?.at(-1), 'localhost/older:1');
});

test('signatures and the list come along, and stay when the image is put again without', { skip }, async () => {
  const list = Buffer.from(JSON.stringify({ schemaVersion: 2, manifests: [] }));
  const signatures = [Buffer.from('one'), Buffer.from('second')];
  await store.putImage({ ...imageOf(alpha), listManifest: list, signatures, listSignatures: [Buffer.from('list')] });
  await store.putImage(imageOf(alpha));
  const image = await store.reader.image(alpha.image_id);
  assert.deepEqual(image.signatures(), signatures);
  assert.deepEqual(image.signatures(alpha.manifest_digest), signatures);
  assert.deepEqual(image.signatures(`sha256:${sha256(list)}`), [Buffer.from('list')]);
  assert.ok(image.manifestDigests.includes(`sha256:${sha256(list)}`));
});

test('another manifest of the same config is added, and becomes the one that is taken', { skip }, async () => {
  const manifest = Buffer.from(`${smallFile(alpha, 'manifest.json').toString()}\n`);
  await store.putImage({ ...imageOf(alpha), manifest });
  const image = await store.reader.image(alpha.image_id);
  assert.ok(image.manifestDigests.includes(`sha256:${sha256(manifest)}`));
  assert.deepEqual(image.withManifest(`sha256:${sha256(manifest)}`).manifest(), manifest);
});

for (const [what, change, code] of [
  ['a layer that is not there', { topLayer: 'f'.repeat(64) }, 'LAYER_GONE'],
  ['no layer', { topLayer: undefined }, 'LAYER_GONE'],
  ['the layer below the right one', { topLayer: smallResults(alpha).store_layer_chain[0] }, 'DIGEST_MISMATCH'],
  ['the layer above the right one', { topLayer: smallResults(beta).store_layer_chain.at(-1) }, 'DIGEST_MISMATCH'],
  ['another config', { config: smallFile(beta, 'config.json') }, 'DIGEST_MISMATCH'],
  ['a manifest that is none', { manifest: Buffer.from('{}') }, 'MANIFEST_INVALID'],
  ['a name that is none', { names: ['UPPER'] }, 'BAD_REFERENCE'],
  ['a name with the digest of another image', { names: [`x@${beta.manifest_digest}`] }, 'DIGEST_MISMATCH'],
] as const)
  test(`${what} is refused, and nothing changes`, { skip }, async () => {
    const before = readFileSync(imagesJson(), 'utf8');
    await assert.rejects(
      store.putImage({ ...imageOf(alpha), ...change }),
      (error) => error instanceof BridgeError && error.code === code,
    );
    assert.equal(readFileSync(imagesJson(), 'utf8'), before);
  });

test('an id whose image has other layers is refused', { skip }, async () => {
  const all = records();
  const other = smallResults(beta).store_layer_chain.at(-1);
  const changed = all.map((record) => (record.id === alpha.image_id ? { ...record, layer: other } : record));
  writeFileSync(imagesJson(), JSON.stringify(changed));
  await assert.rejects(
    store.putImage(imageOf(alpha)),
    (error) =>
      error instanceof BridgeError && error.code === 'IMAGE_ID_TAKEN' && error.message.includes('different top layer'),
  );
});

test('an image with a flag that nobody knows is refused', { skip }, async () => {
  const changed = records().map((record) => ({ ...record, flags: { 'not-yet': true } }));
  writeFileSync(imagesJson(), JSON.stringify(changed));
  await assert.rejects(
    store.putImage(imageOf(alpha)),
    (error) => error instanceof BridgeError && error.code === 'STORE_UNSUPPORTED',
  );
});

test('what a writer that died has left of an image is gone after the next', { skip }, async () => {
  const images = join(small.graphroot, 'overlay-images');
  mkdirSync(join(images, 'a'.repeat(64)));
  for (const name of ['.tmp-item', '.tmp-images.json', `${'a'.repeat(64)}/manifest`])
    writeFileSync(join(images, name), 'x');
  await store.putImage(imageOf(alpha));
  assert.deepEqual(
    readdirSync(images).filter((name) => name.startsWith('.') || name.startsWith('aaaa')),
    [],
  );
});

test('a wrong digest is told apart from a wrong manifest', { skip }, async () => {
  await assert.rejects(
    store.putImage({ ...imageOf(alpha), config: Buffer.from('{}') }),
    (error) => error instanceof DigestMismatchError,
  );
});

test('names can be taken away; the image stays', { skip }, async () => {
  assert.deepEqual(await store.removeNames(alpha.names), [alpha.image_id]);
  assert.equal(recordOf(alpha.image_id)?.names, undefined);
  assert.deepEqual(await store.removeNames(['localhost/nothing:1']), []);
});

test('an image goes with the layers that nothing else needs, and only those', { skip }, async () => {
  const before = new Set(readdirSync(join(small.graphroot, 'overlay')));
  const kept = new Set(
    Object.values(index)
      .filter((image) => image !== beta)
      .flatMap((image) => smallResults(image).store_layer_chain),
  );
  const gone = smallResults(beta)
    .store_layer_chain.filter((layer) => !kept.has(layer))
    .reverse();
  assert.deepEqual(await withoutLeak(() => store.removeImage(beta.image_id)), gone);
  assert.equal(await store.removeImage(beta.image_id), undefined);
  assert.equal(existsSync(join(small.graphroot, 'overlay-images', beta.image_id)), false);
  const left = new Set(readdirSync(join(small.graphroot, 'overlay')));
  assert.deepEqual([...before].filter((name) => !left.has(name)).sort(), [...gone].sort());
  assert.deepEqual(readdirSync(join(small.graphroot, 'overlay/tempdirs')), []);
  assert.deepEqual(readdirSync(join(small.graphroot, 'overlay-layers/tmp')), []);
  for (const image of await store.images()) await store.reader.layers(image);
});

test('an image that a container uses stays', { skip }, async () => {
  const container = { id: 'c'.repeat(64), image: alpha.image_id, layer: 'd'.repeat(64) };
  writeFileSync(join(small.graphroot, 'overlay-containers/containers.json'), JSON.stringify([container]));
  await assert.rejects(
    store.removeImage(alpha.image_id),
    (error) => error instanceof BridgeError && error.code === 'IMAGE_IN_USE',
  );
});
