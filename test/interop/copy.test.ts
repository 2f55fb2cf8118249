// Images that come into a store without a repository between, from wherever they lie.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { runCli } from '../support/cli/run-cli.js';
import { LoopFilesystem, whyNoLoop } from '../support/filesystems.js';
import { Layout, sha256, tarOf, TYPES } from '../support/images/source-layout.js';
import { startRegistry } from './docker-registry.js';
import { graphroot, inTree, SharedFolder, storeImages, whyNoPeers, whyNoStore } from './peers.js';
import { skopeoCopy, StoreOfPeers } from './store-of-peers.js';
import { StoreServer } from './processes.js';
import { makeRepository } from './repositories.js';

const base = tarOf({ large: Buffer.alloc(300_000, 'large '), small: 'small' });
const top = tarOf({ top: Buffer.alloc(70_000, 'top '), '.wh.small': '' });
const blob = gzipSync(base);
/** Looks like a message of OpenPGP, and is kept without a look at it. */
const SIGNATURE = Buffer.concat([Buffer.from([0x88, 0x02]), Buffer.from('signed')]);
const SIGSTORE = Buffer.concat([
  Buffer.from([0]),
  Buffer.from('sigstore-json\n{"mimeType":"application/x","payload":"e30=","annotations":{"a":"b"}}'),
]);

interface Copied {
  id: string;
  manifest_digest: string;
  names: string[];
  layers: { diff_id: string; outcome: string; written: Record<string, number> | null }[];
}

function copied(...args: string[]): Copied {
  const { status, stdout, stderr } = runCli(['copy', '--json', ...args]);
  assert.equal(status, 0, stderr);
  return JSON.parse(stdout) as Copied;
}

describe('copy', { skip: whyNoPeers() }, () => {
  let folder: SharedFolder;
  let layout: Layout;
  let manifest: string;
  let count = 0;
  const newStore = (): StoreOfPeers => StoreOfPeers.in(folder, `store-${count++}`);
  const layout_ = (): string => `oci:${layout.path}:web`;

  before(() => {
    folder = new SharedFolder();
    layout = new Layout(join(folder.path, 'layout'));
    const image = layout.image([{ tar: base, blob, descriptor: { mediaType: `${TYPES.layer}+gzip` } }, { tar: top }], {
      created: '2026-01-02T03:04:05.000000006Z',
    });
    manifest = image.digest;
    layout.publish({ web: image });
  });
  after(() => folder[Symbol.dispose]());

  test('from a layout: layers are known by the blobs that they came out of, as with skopeo', () => {
    const store = newStore();
    const { layers, manifest_digest } = copied(layout_(), store.reference('localhost/web:1'));
    assert.equal(manifest_digest, manifest);
    assert.deepEqual(
      layers.map(({ diff_id, outcome }) => [diff_id, outcome]),
      [
        [sha256(base), 'written'],
        [sha256(top), 'written'],
      ],
    );
    const theirs = newStore();
    skopeoCopy(layout_(), theirs.reference('localhost/web:1'));
    const told = (of: StoreOfPeers): unknown[] =>
      of.layers().map((layer) => ['compressed-diff-digest', 'compressed-size', 'compression'].map((key) => layer[key]));
    assert.deepEqual(told(store), told(theirs));
    assert.deepEqual(told(store)[0], [sha256(blob), blob.length, 2]);
    store.podman('system', 'check');
  });

  for (const [what, transport] of [
    ['an archive', 'oci-archive'],
    ["docker's archive", 'docker-archive'],
    ['a folder', 'dir'],
  ] as const)
    test(`from ${what}`, () => {
      const path = join(folder.path, `${transport}-${count}`);
      skopeoCopy(layout_(), `${transport}:${path}${transport === 'docker-archive' ? ':localhost/web:1' : ''}`);
      const store = newStore();
      const { layers, id } = copied(`${transport}:${path}`, store.reference('localhost/web:1'));
      assert.deepEqual(
        layers.map(({ diff_id }) => diff_id),
        [sha256(base), sha256(top)],
      );
      assert.equal(store.podman('images', '--no-trunc', '--format', '{{.ID}}'), `sha256:${id}`);
      store.podman('system', 'check');
    });

  test('signatures of a folder and the list that the image was chosen from come along, as with skopeo', async () => {
    const several = new Layout(join(folder.path, 'several'));
    const [mine, other] = ['amd64', 'arm64'].map((architecture) =>
      several.image([{ tar: base }], { architecture, config: { Labels: { architecture } } }),
    );
    const index = several.index(
      [mine!, other!].map((image, i) => ({
        ...image,
        platform: { os: 'linux', architecture: ['amd64', 'arm64'][i]! },
      })),
    );
    several.publish({ mine: mine!, list: index });
    const [single, all] = ['single', 'all'].map((name) => join(folder.path, `signed-${name}`)) as [string, string];
    skopeoCopy(`oci:${several.path}:mine`, `dir:${single}`);
    skopeoCopy('--all', `oci:${several.path}:list`, `dir:${all}`);
    const files: [string, Buffer][] = [
      [join(single, 'signature-1'), SIGNATURE],
      [join(single, 'signature-2'), SIGSTORE],
      // What follows a gap is none, and what is signed of the list is not kept with one image of it.
      [join(single, 'signature-4'), SIGNATURE],
      [join(all, 'signature-1'), SIGNATURE],
      [join(all, `${mine!.digest.slice('sha256:'.length)}.signature-1`), SIGSTORE],
    ];
    for (const [path, bytes] of files) writeFileSync(path, bytes);
    const { child, host } = await startRegistry(folder, 'registry');
    try {
      const remote = `docker://${host}/list:1`;
      skopeoCopy('--all', '--preserve-digests', '--dest-tls-verify=false', `oci:${several.path}:list`, remote);
      for (const [source, insecure, expected] of [
        [`dir:${single}`, false, ['signatures', `signature-${mine!.digest.slice('sha256:'.length)}`]],
        [`dir:${all}`, false, ['signatures', `manifest-${index.digest}`]],
        [`oci:${several.path}:list`, false, [`manifest-${index.digest}`]],
        [remote, true, [`manifest-${index.digest}`]],
      ] as const) {
        const [ours, theirs] = [newStore(), newStore()];
        copied(...(insecure ? ['--tls-verify=false'] : []), source, ours.reference('localhost/web:1'));
        skopeoCopy(...(insecure ? ['--src-tls-verify=false'] : []), source, theirs.reference('localhost/web:1'));
        const [is, should] = [ours, theirs].map((store) => store.image('localhost/web:1'));
        for (const key of ['digest', 'metadata', 'big-data-names', 'big-data-digests', 'big-data-sizes'])
          assert.deepEqual(is?.[key], should?.[key], `${source}: ${key}`);
        for (const name of expected) assert.ok(name in (is!['big-data-digests'] as object), `${source}: ${name}`);
        ours.podman('system', 'check');
      }
    } finally {
      child.kill();
    }
    // A folder gives no name.
    assert.equal(runCli(['copy', `dir:${single}`, newStore().reference('')]).status, 2);
    writeFileSync(join(single, 'signature-1'), 'none');
    const { status, stderr } = runCli(['copy', `dir:${single}`, newStore().reference('localhost/web:1')]);
    assert.equal(status, 1);
    assert.match(stderr, /signature-1 in \S+ is no signature/);
  });

  test('from store to store: all that a store keeps with an image comes along', () => {
    // One image of a list, signed, that has had another name.
    const index = layout.index([JSON.parse(readFileSync(join(layout.path, 'index.json'), 'utf8')).manifests[0]]);
    layout.publish({
      list: index,
      web: { ...index, ...layout.put(readFileSync(layout.fileOf(manifest)), TYPES.manifest) },
    });
    const signed = join(folder.path, 'signed');
    skopeoCopy(layout_(), `dir:${signed}`);
    writeFileSync(join(signed, 'signature-1'), SIGNATURE);
    const from = newStore();
    skopeoCopy(`oci:${layout.path}:list`, from.reference('localhost/web:1'));
    skopeoCopy(`dir:${signed}`, from.reference('localhost/web:1'));
    const other = layout.image([{ tar: base }]);
    layout.publish({ web: { ...other, ...layout.put(readFileSync(layout.fileOf(manifest)), TYPES.manifest) }, other });
    skopeoCopy(`dir:${signed}`, from.reference('localhost/old:1'));
    skopeoCopy(`oci:${layout.path}:other`, from.reference('localhost/old:1'));

    const to = newStore();
    const { names, layers } = copied(from.reference('localhost/web:1'), to.reference(''));
    assert.deepEqual(names, ['localhost/web:1']);
    assert.deepEqual(
      layers.map(({ written }) => written?.['inline']),
      [0, 0],
    );
    const [was, is] = [from, to].map((store) => store.image('localhost/web:1'));
    assert.ok((was?.['names-history'] as string[] | undefined)?.includes('localhost/old:1'));
    for (const key of ['id', 'digest', 'names', 'names-history', 'layer', 'created', 'metadata', 'big-data-digests'])
      assert.deepEqual(is?.[key], was?.[key], key);
    assert.ok(Object.keys(is?.['big-data-digests'] as object).includes(`manifest-${index.digest}`));
    const [theirs, ours] = [from, to].map(({ graphroot }) => join(graphroot, 'overlay-images', String(was?.['id'])));
    assert.deepEqual(readFileSync(join(ours!, 'signatures')), readFileSync(join(theirs!, 'signatures')));
    to.podman('system', 'check');
    to.podman('rmi', 'localhost/web:1');
    assert.deepEqual(to.layers(), []);
  });

  test('from the server of another store', async () => {
    const from = newStore();
    skopeoCopy(layout_(), from.reference('localhost/web:1'));
    const to = newStore();
    const socket = join(folder.path, 'socket');
    await using server = await StoreServer.start(socket, from.graphroot);
    void server;
    const { manifest_digest, layers } = copied('--socket', socket, 'localhost/web:1', to.reference('localhost/web:1'));
    assert.equal(manifest_digest, manifest);
    assert.deepEqual(
      layers.map(({ outcome }) => outcome),
      ['written', 'written'],
    );
    to.podman('system', 'check');
    assert.deepEqual(
      copied('--socket', socket, 'localhost/web:1', to.reference('localhost/web:1')).layers.map(
        ({ outcome }) => outcome,
      ),
      ['reused', 'reused'],
    );
  });

  test('a layer that is another one than the config says leaves nothing', () => {
    const wrong = new Layout(join(folder.path, `wrong-${count}`));
    const config = { rootfs: { type: 'layers', diff_ids: [sha256(base), sha256(base)] } };
    wrong.publish({ web: wrong.image([{ tar: base, blob }, { tar: top }], config) });
    const store = newStore();
    const { status, stderr } = runCli(['copy', `oci:${wrong.path}:web`, store.reference('localhost/web:1')]);
    assert.equal(status, 1);
    assert.match(stderr, new RegExp(`expected ${sha256(base)}, got ${sha256(top)}`));
    assert.deepEqual(store.images(), []);
    assert.equal(store.layers().length, 1);
    store.podman('system', 'check');
  });

  test('a dry run of blobs fetches none; nothing can be shared with them', () => {
    const store = newStore();
    const dry = runCli(['copy', '--dry-run', layout_(), store.reference('localhost/web:1')]);
    assert.match(dry.stdout, /^layers {3}2 to write, 0 already there\nfiles {4}those of 2 layers to unpack/m);
    const strict = runCli(['copy', '--zero-copy', layout_(), store.reference('localhost/web:1')]);
    assert.equal(strict.status, 1);
    assert.match(strict.stderr, /packed as a blob/);
    assert.deepEqual(store.layers(), []);
  });

  test('what makes no sense is wrong usage', () => {
    const store = newStore();
    for (const args of [
      [layout_()],
      [layout_(), 'oci:/nowhere'],
      [layout_(), store.reference('')],
      ['--from', '/x', layout_(), store.reference('localhost/a')],
      ['--authfile', '/x', layout_(), store.reference('localhost/a')],
      ['--socket', '/x', '--proxy', 'a', store.reference('localhost/a')],
    ]) {
      const { status, stderr } = runCli(['copy', ...args]);
      assert.equal(status, 2, `${args.join(' ')}: ${stderr}`);
    }
    assert.equal(runCli(['copy', layout_(), store.reference('UPPER')]).status, 1);
    assert.ok(!existsSync(store.graphroot));
  });
});

describe('on a file system that shares', { skip: whyNoStore() || whyNoLoop('btrfs') }, () => {
  test('every file is cloned, out of a store and out of a repository', () => {
    using filesystem = new LoopFilesystem('btrfs', 1500);
    const repository = makeRepository(join(filesystem.path, 'repository'), 'sha256');
    const [first, second] = ['first', 'second'].map((name) => join(filesystem.path, name)) as [string, string];
    mkdirSync(first);
    inTree('true');
    const from = `containers-storage:[overlay@${graphroot}]localhost/mid`;
    const one = copied(from, `containers-storage:[overlay@${first}]localhost/mid`);
    assert.ok(one.layers.every(({ written }) => written?.['cloned'] === 0));
    const pull = runCli(['--repo', repository, 'oci', 'pull', from, 'mid']);
    assert.equal(pull.status, 0, pull.stderr);
    const cloned = (into: string, args: string[]): void => {
      const { status, stdout, stderr } = runCli([
        ...args,
        '--json',
        `containers-storage:[overlay@${into}]localhost/mid`,
      ]);
      assert.equal(status, 0, stderr);
      for (const { written } of (JSON.parse(stdout) as Copied).layers) {
        assert.ok((written?.['cloned'] ?? 0) > 0);
        assert.equal(written?.['copied'], 0);
      }
    };
    const strict = ['--zero-copy'];
    cloned(second, ['copy', ...strict, `containers-storage:[overlay@${first}]localhost/mid`]);
    cloned(join(filesystem.path, 'third'), ['--repo', repository, 'oci', 'push', ...strict, 'mid']);
  });

  test('elsewhere --zero-copy fails, and nothing is left', () => {
    using folder = new SharedFolder();
    const store = StoreOfPeers.in(folder, 'store');
    const from = `containers-storage:[overlay@${graphroot}]localhost/mid`;
    const { status, stderr } = runCli(['copy', '--zero-copy', from, store.reference('localhost/mid')]);
    assert.equal(status, 1);
    assert.match(stderr, /^Error: /);
    assert.deepEqual([store.images(), store.layers()], [[], []]);
    store.podman('system', 'check');
  });
});

describe('store, repository, store, repository', { skip: whyNoStore() }, () => {
  for (const image of storeImages)
    test(`${image} has the same digests everywhere`, () => {
      using folder = new SharedFolder();
      const store = StoreOfPeers.in(folder, 'store');
      const ids = ['first', 'second'].map((name, index) => {
        const repository = makeRepository(join(folder.path, name), 'sha256');
        const from =
          index === 0
            ? `containers-storage:[overlay@${graphroot}]localhost/${image}`
            : store.reference(`localhost/${image}`);
        const ours = (...args: string[]): string => {
          const { status, stdout, stderr } = runCli(['--repo', repository, ...args]);
          assert.equal(status, 0, stderr);
          return stdout;
        };
        const pulled = ours('oci', 'pull', from, 'it');
        if (index === 0) ours('oci', 'push', 'it', store.reference(`localhost/${image}`));
        return [/^manifest .*\nconfig .*\nverity .*$/m.exec(pulled)?.[0], ours('oci', 'compute-id', 'it')];
      });
      assert.deepEqual(ids[0], ids[1]);
      store.podman('rmi', `localhost/${image}`);
      assert.deepEqual(store.layers(), []);
    });
});
