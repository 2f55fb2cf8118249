// What is put into a containers-storage is what podman, buildah and skopeo would have made of it.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Store } from '../../src/storage/store.js';
import { openStoreForWriting } from '../../src/storage/write/open.js';
import type { PutImageResult } from '../../src/storage/write/put-image.js';
import { unpackSmallStore, type SmallStore } from '../support/images/small-store.js';
import { tarDigest } from '../support/layers/streams.js';
import { graphroot, hashOfOutput, SharedFolder, whyNoPeers, whyNoStore } from './peers.js';
import { skopeoCopy, StoreOfPeers } from './store-of-peers.js';

/** Puts images of one store into another. @param names all of them when left out */
async function fillStore(from: string, to: string, names?: readonly string[]): Promise<PutImageResult[]> {
  using source = Store.open({ graphroot: from, driver: 'overlay' });
  await using store = await openStoreForWriting({ graphroot: to });
  const images = names ? await Promise.all(names.map((name) => source.image(name))) : await source.images();
  const results: PutImageResult[] = [];
  for (const image of images) {
    let topLayer: string | undefined;
    for (const { id, diffId } of await source.layers(image)) {
      const stream = await source.layerStream({ id }, { lease: 'descriptors' });
      ({ id: topLayer } = await store.putLayer(stream, { parent: topLayer, diffId: diffId! }));
    }
    const [manifest, config] = [image.manifest(), image.config()];
    results.push(await store.putImage({ manifest, config, topLayer, names: image.names }));
  }
  return results;
}

/** The layers' records without what differs from one writing to the next. */
function layersOf(store: StoreOfPeers): { id: string }[] {
  const text = readFileSync(join(store.graphroot, 'overlay-layers/layers.json'), 'utf8');
  return (JSON.parse(text) as { id: string }[]).map((layer) => ({ ...layer, created: '' }));
}

const imagesOf = (store: StoreOfPeers): unknown =>
  JSON.parse(readFileSync(join(store.graphroot, 'overlay-images/images.json'), 'utf8'));

function savedBy(store: StoreOfPeers, name: string): string {
  const [program = '', ...args] = store.command('podman', 'save', '-q', name);
  return hashOfOutput(program, args);
}

describe('an image of a real store, put into a new one', { skip: whyNoStore() }, () => {
  const NAME = 'localhost/mid:latest';
  let folder: SharedFolder;
  let ours: StoreOfPeers;
  let theirs: StoreOfPeers;

  before(async () => {
    folder = new SharedFolder();
    ours = StoreOfPeers.in(folder, 'ours');
    theirs = StoreOfPeers.in(folder, 'theirs');
    await fillStore(graphroot, ours.graphroot, [NAME]);
    skopeoCopy(new StoreOfPeers(graphroot).reference(NAME), theirs.reference(NAME));
  });
  after(() => folder[Symbol.dispose]());

  test('the indexes say what they say where skopeo has copied it', () => {
    assert.deepEqual(layersOf(ours), layersOf(theirs));
    assert.deepEqual(imagesOf(ours), imagesOf(theirs));
  });

  test('podman lists it', () => {
    assert.equal(ours.podman('images', '--format', '{{.Repository}}:{{.Tag}}').trim(), NAME);
  });

  test('podman finds no more to say about it than where skopeo has copied it', () => {
    const known = new Set(theirs.problems());
    assert.deepEqual(
      ours.problems().filter((line) => !known.has(line)),
      [],
    );
  });

  test('podman mounts it, with the same files', () => {
    const script =
      `mount=$($podman image mount ${NAME}); cd "$mount"; ` +
      'find . -mindepth 1 -printf "%P %y %m %U %G %s %T@ %l\\n" | sort; ' +
      `$podman image unmount ${NAME} >/dev/null`;
    const [one, other] = [ours, theirs].map((store) => store.script(script)) as [string, string];
    assert.ok(one.length > 100_000);
    // The root is of when it was made, and sizes of folders are the file system's.
    const plain = (text: string): string => text.replace(/^(.* d \d+ \d+ \d+) \d+/gm, '$1');
    assert.equal(plain(one), plain(other));
  });

  test('podman saves the same tar', () => {
    assert.equal(savedBy(ours, NAME), savedBy(theirs, NAME));
  });

  test('buildah builds on top of it, and podman removes all', () => {
    const script =
      `c=$($buildah from --pull-never ${NAME}); m=$($buildah mount "$c"); echo new >"$m/new"; ` +
      '$buildah umount "$c" >/dev/null; $buildah commit -q "$c" localhost/above; $buildah rm "$c" >/dev/null';
    ours.script(script);
    assert.match(ours.podman('images', '--format', '{{.Repository}}'), /localhost\/above/);
    ours.podman('rmi', '-a', '-f');
    ours.assertEmpty();
  });
});

describe('a recorded store with odd images, put into a new one', { skip: whyNoPeers() }, () => {
  let folder: SharedFolder;
  const ids: string[] = [];
  let small: SmallStore;
  let ours: StoreOfPeers;
  let theirs: StoreOfPeers;

  before(async () => {
    folder = new SharedFolder();
    small = unpackSmallStore(folder.path);
    ours = StoreOfPeers.in(folder, 'ours');
    theirs = StoreOfPeers.in(folder, 'theirs');
    await fillStore(small.graphroot, ours.graphroot);
    const source = new StoreOfPeers(small.graphroot);
    using store = Store.open({ graphroot: small.graphroot });
    for (const { id, names } of await store.images()) {
      ids.push(id);
      skopeoCopy(source.reference(`@${id}`), theirs.reference(names[0] ?? `@${id}`));
    }
  });
  after(() => folder[Symbol.dispose]());

  test('the layers are recorded as where skopeo has copied them', () => {
    const byId = (layers: { id: string }[]): object => Object.fromEntries(layers.map((layer) => [layer.id, layer]));
    assert.deepEqual(byId(layersOf(ours)), byId(layersOf(theirs)));
  });

  test('podman lists all of its images', () => {
    const listed = ours.podman('images', '-a', '-q', '--no-trunc').trim().split('\n');
    assert.deepEqual([...new Set(listed)].sort(), ids.map((id) => `sha256:${id}`).sort());
  });

  test('podman finds no more to say about them than where skopeo has copied them', () => {
    assert.deepEqual(ours.problems(), theirs.problems());
  });

  test('every layer comes out of it as the same tar', async () => {
    using store = Store.open({ graphroot: ours.graphroot });
    for (const image of await store.images())
      for (const layer of await store.layers(image))
        assert.equal(`sha256:${await tarDigest(await store.layerStream(layer))}`, layer.diffId);
  });

  test('podman removes all, and nothing is left', () => {
    ours.podman('rmi', '-a', '-f');
    ours.assertEmpty();
  });
});
