// Images go from a store into a repository, from there into a new store, and from that into another repository. Other
// programs say what the new store is worth.
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test, type TestContext } from 'node:test';
import { cfsbridge } from '../support/cli/run-cli.js';
import { smallIndex, unpackSmallStore, type SmallStore } from '../support/images/small-store.js';
import { straysOf } from '../support/images/store-strays.js';
import { graphroot, SharedFolder, storeImages, succeed, whyNoPeers, whyNoStore } from './peers.js';
import { makeRepository } from './repositories.js';
import { podmans, skopeoCopy, StoreOfPeers, whyNoContainers, whyNoPodman, type Listed } from './store-of-peers.js';

/** An image of the first store, and its tag in the repositories. */
interface Travelling {
  name: string;
  tag: string;
}

/** A round trip with its judges; stores are below the folder that both sides see. */
interface Trip {
  folder: SharedFolder;
  from: StoreOfPeers;
  to: StoreOfPeers;
  /** another program's, which shows what the new one has to show */
  like: StoreOfPeers;
  images: readonly Travelling[];
  /**
   * Those whose manifests say that layers are compressed with zstd: podman 4.3 makes no archive of docker of these,
   * wherever they are.
   */
  zstd?: readonly string[];
  /** Folders that no tar has an entry for, if these are others than the root: they have the time of the moment. */
  undated?: Readonly<Record<string, string[]>>;
}

const inRepository = (path: string, ...args: string[]): string => succeed(cfsbridge, ['--repo', path, ...args]);

/** Digests of the manifest, the config and the EROFS image, as they are printed. */
function pull(repository: string, store: StoreOfPeers, { name, tag }: Travelling): string[] {
  const printed = inRepository(repository, 'oci', 'pull', store.reference(name), tag);
  return printed.split('\n').filter((line) => /^(?:manifest|config|verity) /.test(line));
}

function push(repository: string, store: StoreOfPeers, { name, tag }: Travelling): void {
  inRepository(repository, 'oci', 'push', tag, store.reference(name));
}

/** Images by id, without names that did not travel. */
function travelled(listed: readonly Listed[], images: readonly Travelling[]): Listed[] {
  const names = new Set(images.map(({ name }) => name));
  return listed
    .map((image) => ({ ...image, names: image.names.filter((name) => names.has(name)) }))
    .filter((image) => image.names.length > 0);
}

const timed = <T>(t: TestContext, what: string, run: () => T): T => {
  const start = performance.now();
  const result = run();
  t.diagnostic(`${what}: ${((performance.now() - start) / 1000).toFixed(1)} s`);
  return result;
};

/**
 * The tests of one trip; they build on one another, and remove the images at the end.
 * @param more with the images in the store
 */
function roundTrip(trip: () => Trip, more: (repository: () => string) => void): void {
  let repository: string;
  before(() => {
    repository = makeRepository(join(trip().folder.path, 'repository'), 'sha256');
  });

  test('all ids are the same in the second repository', (t) => {
    const { folder, from, to, images } = trip();
    const second = makeRepository(join(folder.path, 'second'), 'sha256');
    for (const image of images) {
      const there = timed(t, `${image.tag} is pulled`, () => pull(repository, from, image));
      timed(t, `${image.tag} is pushed`, () => push(repository, to, image));
      assert.deepEqual(pull(second, to, image), there, image.name);
    }
    assert.deepEqual(straysOf(to.graphroot), []);
  });

  for (const tree of [...podmans].reverse())
    describe(`podman of ${tree}`, { skip: whyNoPodman(tree) }, () => {
      // The first one removes all of them.
      before(() => {
        for (const image of trip().images) push(repository, trip().to, image);
      });

      test('lists the images', () => {
        const { from, to, images } = trip();
        assert.deepEqual(to.by(tree).list(), travelled(from.by(tree).list(), images));
      });

      test('mounts them, and they show what they show elsewhere', (t) => {
        const { like, to, images, undated: expected = {} } = trip();
        const compared = to.by(tree).compareTrees(
          like,
          images.map(({ name }) => name),
        );
        for (const [image, { names, differences, undated }] of Object.entries(compared)) {
          assert.deepEqual({ differences, undated }, { differences: [], undated: expected[image] ?? [''] }, image);
          t.diagnostic(`${image}: ${names} names`);
        }
      });

      test('saves their layers as the tars they were', () => {
        const { from, to, images, zstd = [] } = trip();
        const saved = images.map(({ name }) => name).filter((name) => tree === 'sid' || !zstd.includes(name));
        const listed = from.list().filter(({ names }) => names.some((name) => saved.includes(name)));
        const expected = Object.fromEntries(listed.map(({ id }) => [id, from.diffIds(id)]));
        assert.deepEqual(to.by(tree).savedLayers(saved), expected);
      });

      if (tree === 'sid') more(() => repository);

      test('removes them, and nothing is left', () => {
        const { to } = trip();
        to.by(tree).podman('rmi', '--all', '--force');
        assert.deepEqual(to.by(tree).list(), []);
        assert.deepEqual(straysOf(to.graphroot), []);
      });
    });
}

const ODD = { undated: { 'localhost/zeta:noparent': ['', '/x', '/x/y'] }, zstd: ['localhost/zeta:dotgz'] };

describe('the recorded images', { skip: whyNoPeers() }, () => {
  let trip: Trip;
  let small: SmallStore;
  before(() => {
    const folder = new SharedFolder();
    small = unpackSmallStore(folder.path);
    const images = Object.values(smallIndex()).flatMap(({ names }) =>
      names.map((name) => ({ name, tag: name.replace(/.*\//, '') })),
    );
    const from = new StoreOfPeers(small.graphroot);
    const [to, like] = ['new', 'skopeo'].map((name) => StoreOfPeers.in(folder, name)) as [StoreOfPeers, StoreOfPeers];
    for (const { name } of images) skopeoCopy(from.reference(name), like.reference(name));
    trip = { folder, from, to, like, images, ...ODD };
  });
  after(() => {
    small.remove();
    trip.folder[Symbol.dispose]();
  });

  roundTrip(
    () => trip,
    () => {
      test('the checks say of them what they say when skopeo has written the store', (t) => {
        const complaints = trip.to.complaints();
        assert.deepEqual(complaints, trip.like.complaints());
        t.diagnostic(`${complaints.length} lines of complaints`);
      });

      test('they go from store to store without a repository between, and are the same there', () => {
        const { folder, from, like, images } = trip;
        const third = StoreOfPeers.in(folder, 'third');
        for (const { name } of images)
          succeed(cfsbridge, ['copy', '--insecure-policy', from.reference(name), third.reference(name)]);
        assert.deepEqual(third.list(), travelled(from.list(), images));
        assert.deepEqual(straysOf(third.graphroot), []);
        assert.deepEqual(third.complaints(), like.complaints());
      });
    },
  );
});

describe('the images of mkstore.sh', { skip: whyNoStore() }, () => {
  let trip: Trip;
  before(() => {
    const folder = new SharedFolder();
    const images = storeImages.map((tag) => ({ name: `localhost/${tag}:latest`, tag }));
    const to = StoreOfPeers.in(folder, 'new');
    const from = new StoreOfPeers(graphroot);
    trip = { folder, from, to, like: from, images };
  });
  after(() => trip.folder[Symbol.dispose]());

  roundTrip(
    () => trip,
    (repository) => {
      test('containers run of them', { skip: whyNoContainers() }, () => {
        const { to } = trip;
        const command =
          'stat -c "%a %u %g %s" /opt/odd/first /opt/odd/second; ls /usr/share/doc; . /etc/os-release; echo $ID';
        assert.deepEqual(to.runContainer('localhost/many:latest', command).split('\n'), [
          '4755 0 0 5000',
          '644 1234 4321 5000',
          'again',
          'debian',
        ]);
        assert.equal(
          to.runContainer('localhost/big:latest', 'stat -c %s /random.bin /zero.bin'),
          '1200000000\n300000000',
        );
      });

      test('neither check finds anything', (t) => {
        assert.deepEqual(
          timed(t, 'both checks', () => trip.to.complaints()),
          [],
        );
      });

      test('buildah builds on top of one, and the result can be pulled', () => {
        const { folder, to } = trip;
        const context = join(folder.path, 'context');
        mkdirSync(context);
        writeFileSync(join(context, 'file'), 'by buildah');
        writeFileSync(join(context, 'Containerfile'), 'FROM localhost/mid:latest\nCOPY file /opt/on-top\n');
        const image = { name: 'localhost/on-top:latest', tag: 'on-top' };
        to.build(image.name, context);
        pull(repository(), to, image);
        assert.match(inRepository(repository(), 'oci', 'dump', 'on-top'), /^\/opt\/on-top 10 /m);
        const again = StoreOfPeers.in(folder, 'again');
        push(repository(), again, image);
        assert.deepEqual(again.complaints(), []);
        to.podman('rmi', image.name);
      });
    },
  );
});
