import assert from 'node:assert/strict';
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Store } from '../../src/storage/store.js';
import { smallIndex, unpackSmallStore, type SmallStore } from '../support/images/small-store.js';

const index = smallIndex();
const id = (name: string): string => index[name]!.image_id;
const digest = (name: string): string => index[name]!.manifest_digest;

let small: SmallStore;
let store: Store;

before(() => {
  small = unpackSmallStore();
  store = Store.open({ graphroot: small.graphroot });
});

after(() => {
  store[Symbol.dispose]();
  small.remove();
});

const FOUND: [reference: string, image: string][] = [
  [id('alpha:v1'), 'alpha:v1'],
  [id('alpha:v1').slice(0, 12), 'alpha:v1'],
  [`@${id('alpha:v1')}`, 'alpha:v1'],
  [`localhost/alpha@${id('alpha:v1').slice(0, 12)}`, 'alpha:v1'],
  ['localhost/alpha:v2', 'alpha:v2'],
  ['containers-storage:localhost/alpha:v2', 'alpha:v2'],
  ['alpha:v2', 'alpha:v2'],
  ['example.com/ns/delta:1.0', 'delta:one'],
  ['ns/delta:1.0', 'delta:one'],
  ['delta:1.0', 'delta:one'],
  [digest('beta:docker'), 'beta:docker'],
  [`localhost/alpha@${digest('alpha:v3')}`, 'alpha:v3'],
  [`localhost/alpha:v1@${digest('alpha:v3')}`, 'alpha:v3'],
  [`sha256:${id('zeta:pax')}`, 'zeta:pax'],
];

for (const [reference, name] of FOUND) {
  test(`finds ${reference}`, async () => assert.equal((await store.image(reference)).id, id(name)));
}

const MISSING = [
  'alpha',
  'alpha:v9',
  'zeta:docker',
  'a:v1',
  'beta@abc',
  `localhost/beta@${digest('alpha:v1')}`,
  `localhost/beta@${id('alpha:v1')}`,
  `sha256:${'0'.repeat(64)}`,
  '0'.repeat(64),
];

for (const reference of MISSING) {
  test(`does not find ${reference}`, () => assert.rejects(store.image(reference), { code: 'NOT_FOUND' }));
}

interface Record {
  id: string;
  names?: string[];
  digest: string;
  layer: string;
  'big-data-names': string[];
}

/** Replaces the index by rename, as podman does. */
function changeImages(change: (images: Record[]) => Record[]): () => void {
  const path = join(small.graphroot, 'overlay-images/images.json');
  const before = readFileSync(path);
  writeFileSync(`${path}.new`, JSON.stringify(change(JSON.parse(before.toString()) as Record[])));
  renameSync(`${path}.new`, path);
  return () => {
    writeFileSync(`${path}.new`, before);
    renameSync(`${path}.new`, path);
  };
}

test('sees what another program changed meanwhile', async () => {
  await store.images();
  const undo = changeImages((images) =>
    images.map((image) => (image.id === id('alpha:v1') ? { ...image, names: ['quay.io/new/name:tag'] } : image)),
  );
  try {
    assert.equal((await store.image('quay.io/new/name:tag')).id, id('alpha:v1'));
    await assert.rejects(store.image('alpha:v1'), { code: 'NOT_FOUND' });
  } finally {
    undo();
  }
  assert.equal((await store.image('alpha:v1')).id, id('alpha:v1'));
});

test('a short name or ID prefix that fits several images is not decided by chance', async () => {
  const renamed = new Map([
    [id('alpha:v1'), 'a.example/x/app:1'],
    [id('alpha:v2'), 'b.example/y/app:1'],
  ]);
  const undo = changeImages((images) =>
    images.map((image) => ({ ...image, names: [renamed.get(image.id) ?? `none.example/${image.id.slice(0, 8)}:1`] })),
  );
  try {
    await assert.rejects(store.image('app:1'), {
      code: 'NOT_FOUND',
      message: /a\.example\/x\/app:1.*b\.example\/y\/app:1/,
    });
    assert.equal((await store.image('y/app:1')).id, id('alpha:v2'));
  } finally {
    undo();
  }
  const twin = id('alpha:v1').slice(0, 40) + '0'.repeat(24);
  const undoTwin = changeImages((images) => [...images, { ...images[0]!, id: twin, names: [] }]);
  try {
    await assert.rejects(store.image(id('alpha:v1').slice(0, 12)), { code: 'NOT_FOUND' });
    assert.equal((await store.image(id('alpha:v1'))).id, id('alpha:v1'));
  } finally {
    undoTwin();
  }
});

test('a name with the digest of a list finds the instance for this machine', async () => {
  const architecture = ({ x64: 'amd64' } as { [arch: string]: string })[process.arch] ?? process.arch;
  const { createHash } = await import('node:crypto');
  const list = JSON.stringify({
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.index.v1+json',
    manifests: [
      { digest: digest('alpha:v1'), platform: { os: 'linux', architecture: 'other' } },
      { digest: digest('alpha:v2'), platform: { os: 'linux', architecture } },
    ],
  });
  const listDigest = `sha256:${createHash('sha256').update(list).digest('hex')}`;
  const key = `manifest-${listDigest}`;
  const both = [id('alpha:v1'), id('alpha:v2')];
  for (const image of both)
    writeFileSync(join(small.graphroot, 'overlay-images', image, `=${Buffer.from(key).toString('base64')}`), list);
  const undo = changeImages((images) =>
    images.map((image) =>
      both.includes(image.id) ? { ...image, 'big-data-names': [...image['big-data-names'], key] } : image,
    ),
  );
  try {
    const image = await store.image(`localhost/alpha@${listDigest}`);
    assert.equal(image.id, id('alpha:v2'));
    assert.equal(image.manifestDigest, digest('alpha:v2'), "the image's own manifest, not the list");
  } finally {
    undo();
  }
});

test('an additional store is searched after the first, for images and for parents of layers', async () => {
  const first = unpackSmallStore();
  try {
    const images = join(first.graphroot, 'overlay-images/images.json');
    const layers = join(first.graphroot, 'overlay-layers/layers.json');
    const kept = JSON.parse(readFileSync(images, 'utf8')) as Record[];
    writeFileSync(images, JSON.stringify(kept.filter((image) => image.id === id('alpha:v2'))));
    const top = kept.find((image) => image.id === id('alpha:v2'))!.layer;
    writeFileSync(
      layers,
      JSON.stringify(
        (JSON.parse(readFileSync(layers, 'utf8')) as { id: string }[]).filter((layer) => layer.id === top),
      ),
    );

    using alone = Store.open({ graphroot: first.graphroot });
    await assert.rejects(alone.image('alpha:v1'), { code: 'NOT_FOUND' });
    await assert.rejects(alone.layers(await alone.image('alpha:v2')), { code: 'NOT_FOUND' });

    using both = Store.open({ graphroot: first.graphroot, additionalStores: [small.graphroot] });
    assert.equal((await both.layers(await both.image('alpha:v2'))).length, 2);
    assert.equal((await both.image('alpha:v1')).id, id('alpha:v1'));
    const ids = (await both.images()).map((image) => image.id);
    assert.equal(new Set(ids).size, ids.length);
    assert.equal(ids.length, kept.length);
  } finally {
    first.remove();
  }
});
