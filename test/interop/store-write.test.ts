// What is put into a containers-storage is what podman, buildah and skopeo would have made of it.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Store } from '../../src/storage/store.js';
import { unpackSmallStore, type SmallStore } from '../support/images/small-store.js';
import { tarDigest } from '../support/layers/streams.js';
import { fillStore, TreeStore } from './written-store.js';
import { graphroot, hashOfOutput, inTree, peerCommand, SharedFolder, whyNoPeers, whyNoStore } from './peers.js';

/** The layers' records without what differs from one writing to the next. */
function layersOf(store: TreeStore): { id: string }[] {
  const text = readFileSync(join(store.graphroot, 'overlay-layers/layers.json'), 'utf8');
  return (JSON.parse(text) as { id: string }[]).map((layer) => ({ ...layer, created: '' }));
}

const imagesOf = (store: TreeStore): unknown =>
  JSON.parse(readFileSync(join(store.graphroot, 'overlay-images/images.json'), 'utf8'));

const list = (path: string): string[] => (existsSync(path) ? readdirSync(path) : []);

function savedBy(store: TreeStore, name: string): string {
  const [program = '', ...args] = peerCommand('sid', [...store.command('podman'), 'save', '-q', name]);
  return hashOfOutput(program, args);
}

describe('an image of a real store, put into a new one', { skip: whyNoStore() }, () => {
  const NAME = 'localhost/mid:latest';
  let folder: SharedFolder;
  let ours: TreeStore;
  let theirs: TreeStore;

  before(async () => {
    folder = new SharedFolder();
    ours = new TreeStore(folder, 'ours');
    theirs = new TreeStore(folder, 'theirs');
    await fillStore(graphroot, ours.graphroot, [NAME]);
    const source = `containers-storage:[overlay@/share/store+/share/store.run]${NAME}`;
    inTree('skopeo', '--insecure-policy', 'copy', '-q', source, theirs.reference(NAME));
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
    const known = new Set(theirs.problems('--quick=false'));
    assert.deepEqual(
      ours.problems('--quick=false').filter((line) => !known.has(line)),
      [],
    );
  });

  test('podman mounts it, with the same files', () => {
    const script =
      'mount=$(podman "$@" image mount "$NAME"); cd "$mount"; ' +
      'find . -mindepth 1 -printf "%P %y %m %U %G %s %T@ %l\\n" | sort; podman "$@" image unmount "$NAME" >/dev/null';
    const listing = (store: TreeStore): string =>
      inTree('env', `NAME=${NAME}`, 'sh', '-ec', script, 'sh', ...store.command('podman').slice(1));
    const [one, other] = [listing(ours), listing(theirs)];
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
      'c=$(buildah "$@" from --pull-never "$NAME"); m=$(buildah "$@" mount "$c"); echo new >"$m/new"; ' +
      'buildah "$@" umount "$c" >/dev/null; buildah "$@" commit -q "$c" localhost/above; buildah "$@" rm "$c" >/dev/null';
    inTree('env', `NAME=${NAME}`, 'sh', '-ec', script, 'sh', ...ours.command('buildah').slice(1));
    assert.match(ours.podman('images', '--format', '{{.Repository}}'), /localhost\/above/);
    ours.podman('rmi', '-a', '-f');
    ours.assertEmpty(list);
  });
});

describe('a recorded store with odd images, put into a new one', { skip: whyNoPeers() }, () => {
  let folder: SharedFolder;
  const ids: string[] = [];
  let small: SmallStore;
  let ours: TreeStore;
  let theirs: TreeStore;

  before(async () => {
    folder = new SharedFolder();
    small = unpackSmallStore(folder.path);
    ours = new TreeStore(folder, 'ours');
    theirs = new TreeStore(folder, 'theirs');
    await fillStore(small.graphroot, ours.graphroot);
    const source = new TreeStore(folder, basename(small.graphroot));
    using store = Store.open({ graphroot: small.graphroot });
    for (const { id, names } of await store.images()) {
      ids.push(id);
      const [from, to] = [source.reference(`@${id}`), theirs.reference(names[0] ?? `@${id}`)];
      inTree('skopeo', '--insecure-policy', 'copy', '-q', from, to);
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
    assert.deepEqual(ours.problems('--quick=false'), theirs.problems('--quick=false'));
  });

  test('every layer comes out of it as the same tar', async () => {
    using store = Store.open({ graphroot: ours.graphroot });
    for (const image of await store.images())
      for (const layer of await store.layers(image))
        assert.equal(`sha256:${await tarDigest(await store.layerStream(layer))}`, layer.diffId);
  });

  test('podman removes all, and nothing is left', () => {
    ours.podman('rmi', '-a', '-f');
    ours.assertEmpty(list);
  });
});
