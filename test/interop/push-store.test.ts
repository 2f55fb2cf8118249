// Images of a repository in a store of podman's: what podman and skopeo make of them, and of the store.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { runCli } from '../support/cli/run-cli.js';
import { Layout, sha256, tarOf, TYPES } from '../support/images/source-layout.js';
import type { StoreRecord } from '../support/images/store-strays.js';
import { inTree, SharedFolder, whyNoPeers } from './peers.js';
import { skopeoCopy, StoreOfPeers } from './store-of-peers.js';
import { makeRepository } from './repositories.js';

const large = Buffer.alloc(300_000, 'large ');
const base = tarOf({ large, small: 'small' });
const plain = tarOf({ plain: 'plain' });
const top = tarOf({ top: Buffer.alloc(70_000, 'top '), '.wh.small': '' });
const blobs = { base: gzipSync(base), top: gzipSync(top, { level: 9 }) };
const GZIP = { mediaType: `${TYPES.layer}+gzip` };

/** What podman looks layers up by, and what they consist of. */
const TOLD = [
  'id',
  'parent',
  'compressed-diff-digest',
  'compressed-size',
  'compression',
  'diff-digest',
  'diff-size',
  'uidset',
  'gidset',
] as const;
const told = (layers: readonly StoreRecord[]): unknown[] => layers.map((layer) => TOLD.map((key) => layer[key]));

interface Pushed {
  id: string;
  existed: boolean;
  dry_run: boolean;
  manifest_digest: string;
  config_digest: string;
  names: string[];
  layers: { diff_id: string; id: string | null; outcome: string; written: object | null; plan: object | null }[];
}

interface All {
  images: { name: string; outcome: string; manifest_digest: string | null; error: string | null }[];
  skipped: { name: string; reason: string }[];
}

describe('oci push into a containers-storage', { skip: whyNoPeers() }, () => {
  let folder: SharedFolder;
  let layout: Layout;
  let repository: string;
  let store: StoreOfPeers;
  let count = 0;

  before(() => {
    folder = new SharedFolder();
    layout = new Layout(join(folder.path, 'layout'));
    const image = layout.image(
      [
        { tar: base, blob: blobs.base, descriptor: GZIP },
        { tar: plain },
        { tar: top, blob: blobs.top, descriptor: GZIP },
      ],
      { created: '2026-01-02T03:04:05.678901234Z', config: { Cmd: ['/bin/sh'] } },
    );
    const other = layout.image([{ tar: base, blob: blobs.base, descriptor: GZIP }]);
    layout.publish({ web: image, other });
    repository = makeRepository(join(folder.path, 'repository'), 'sha256');
    for (const name of ['web', 'other']) ours('oci', 'pull', `oci:${layout.path}:${name}`, name);
  });
  after(() => folder[Symbol.dispose]());

  const newStore = (): StoreOfPeers => (store = StoreOfPeers.in(folder, `store-${count++}`));
  function ours(...args: string[]): { stdout: string; stderr: string } {
    const { status, ...said } = runCli(['--repo', repository, ...args]);
    assert.equal(status, 0, said.stderr);
    return said;
  }
  const push = (image: string, name: string, ...options: string[]): Pushed =>
    JSON.parse(ours('oci', 'push', '--json', ...options, image, store.reference(name)).stdout) as Pushed;
  const pushAll = (...options: string[]): All =>
    JSON.parse(ours('oci', 'push', '--all', '--json', ...options, store.reference('')).stdout) as All;
  const pullAll = (into: string, ...options: string[]): All => {
    const { status, stdout, stderr } = runCli([
      ...['--repo', into, 'oci', 'pull', '--all', '--json', ...options, store.reference('')],
    ]);
    assert.equal(status, 0, stderr);
    return JSON.parse(stdout) as All;
  };
  const outcomes = ({ images }: All): Record<string, string> =>
    Object.fromEntries(images.map(({ name, outcome }) => [name, outcome]));

  test('podman lists, mounts and saves the image, and removes all of it', () => {
    newStore();
    const { id, manifest_digest, config_digest, names } = push('web', 'localhost/web:1');
    assert.equal(id, config_digest.slice('sha256:'.length));
    assert.deepEqual(names, ['localhost/web:1']);
    assert.equal(
      store.podman('images', '--no-trunc', '--format', '{{.ID}} {{.Digest}}'),
      `sha256:${id} ${manifest_digest}`,
    );
    assert.equal(
      store.script(
        'cd "$($podman image mount localhost/web:1)/usr"; ls; cat plain; sha256sum <large; cd /; $podman image unmount -a >/dev/null',
      ),
      `large\nplain\ntop\nplain${sha256(large).slice('sha256:'.length)}  -`,
    );
    const saved = join(folder.path, 'saved');
    store.podman('save', '-q', '--format', 'oci-dir', '-o', saved, 'localhost/web:1');
    const files = readdirSync(join(saved, 'blobs/sha256'));
    for (const tar of [base, plain, top]) assert.ok(isSaved(saved, files, tar), 'the exact tar of each layer');
    store.podman('system', 'check');
    store.podman('rmi', '-f', id);
    assert.deepEqual([store.images(), store.layers()], [[], []]);
    assert.deepEqual(
      readdirSync(join(store.graphroot, 'overlay')).filter((name) => /^[0-9a-f]{64}$/.test(name)),
      [],
    );
  });

  /** podman compresses what it saves. */
  function isSaved(path: string, names: readonly string[], tar: Buffer): boolean {
    return names.some((name) => {
      const bytes = readFileSync(join(path, 'blobs/sha256', name));
      if (bytes.equals(tar)) return true;
      if (bytes[0] !== 0x1f) return false;
      return inTree('sh', '-c', `zcat ${join(path, 'blobs/sha256', name)} | sha256sum`).startsWith(
        sha256(tar).slice(7),
      );
    });
  }

  test('layers have the records that skopeo gives them: by the blobs that the pull has seen', () => {
    newStore();
    push('web', 'localhost/web:1');
    const theirs = StoreOfPeers.in(folder, `skopeo-${count++}`);
    skopeoCopy(`oci:${layout.path}:web`, theirs.reference('localhost/web:1'));
    assert.deepEqual(told(store.layers()), told(theirs.layers()));
    const [mine, its] = [store, theirs].map((one) => one.image('localhost/web:1'));
    for (const key of ['id', 'digest', 'names', 'layer', 'created', 'big-data-sizes', 'big-data-digests', 'metadata'])
      assert.deepEqual(mine?.[key], its?.[key], key);
    const inspect = (of: StoreOfPeers): string => inTree('skopeo', 'inspect', '--raw', of.reference('localhost/web:1'));
    assert.equal(inspect(store), inspect(theirs));
  });

  test('what a manifest only claims is not told: a layer from a store is known by its tar', () => {
    newStore();
    push('web', 'localhost/web:1');
    const second = makeRepository(join(folder.path, `repository-${count++}`), 'sha256');
    const pulled = runCli(['--repo', second, 'oci', 'pull', store.reference('localhost/web:1'), 'web']);
    assert.equal(pulled.status, 0, pulled.stderr);
    newStore();
    const { status, stderr } = runCli(['--repo', second, 'oci', 'push', 'web', store.reference('localhost/web:1')]);
    assert.equal(status, 0, stderr);
    assert.match(stderr, /^simple signatures and manifest lists are not kept/m);
    assert.deepEqual(
      store.layers().map((layer) => layer['compressed-diff-digest']),
      [base, plain, top].map(sha256),
    );
    assert.deepEqual(
      store.layers().map(({ compression }) => compression),
      [undefined, undefined, undefined],
    );
  });

  test('layers that are there are used, and a name moves to the image that comes', () => {
    newStore();
    skopeoCopy(`oci:${layout.path}:other`, store.reference('localhost/web:1'));
    const { existed, layers } = push('web', 'localhost/web:1');
    assert.equal(existed, false);
    assert.deepEqual(
      layers.map(({ outcome }) => outcome),
      ['reused', 'written', 'written'],
    );
    const again = push('web', 'localhost/again');
    assert.equal(again.existed, true);
    assert.deepEqual(again.names, ['localhost/again:latest']);
    assert.equal(store.images().length, 2);
    assert.deepEqual(store.image('localhost/web:1')?.['id'], again.id);
    store.podman('system', 'check');
  });

  test('a dry run changes nothing, and says what there is to do', () => {
    newStore();
    const dry = push('web', 'localhost/web:1', '--dry-run');
    assert.ok(!existsSync(store.graphroot));
    assert.ok(dry.dry_run && !dry.existed);
    assert.deepEqual(
      dry.layers.map(({ outcome, plan }) => [outcome, plan]),
      [
        ['planned', { entries: 3, files: 1, fileBytes: large.length, inlined: 1, inlineBytes: 5 }],
        ['planned', { entries: 2, files: 0, fileBytes: 0, inlined: 1, inlineBytes: 5 }],
        ['planned', { entries: 3, files: 1, fileBytes: 70_000, inlined: 0, inlineBytes: 0 }],
      ],
    );
    push('other', 'localhost/other:1');
    const before = readFileSync(join(store.graphroot, 'overlay-layers/layers.json'));
    assert.deepEqual(
      push('web', 'localhost/web:1', '--dry-run').layers.map(({ outcome }) => outcome),
      ['reused', 'planned', 'planned'],
    );
    assert.deepEqual(readFileSync(join(store.graphroot, 'overlay-layers/layers.json')), before);
    assert.match(
      ours('oci', 'push', '--dry-run', 'web', store.reference('localhost/web:1')).stdout,
      /^layers {3}2 to write, 1 already there\nfiles {4}1 to share, 68\.36 KiB, .*; 1 to write, 5 B$/m,
    );
  });

  test('all tagged images come, and go back as they were', () => {
    newStore();
    const manifests = (path: string): Record<string, string> => {
      const { stdout } = runCli(['--repo', path, 'oci', 'images', '--json']);
      const { images } = JSON.parse(stdout) as { images: { name: string; manifest_digest: string }[] };
      return Object.fromEntries(images.map(({ name, manifest_digest }) => [name, manifest_digest]));
    };
    const { web, other } = manifests(repository) as { web: string; other: string };
    const tag = (digest: string, name: string): unknown => ours('oci', 'tag', digest, name);
    tag(web, 'localhost/web:1');
    tag(other, 'localhost/other:1');
    tag(other, 'quay.io/ns/other:1');
    tag(web, 'NO NAME');
    const filter = ['--filter', 'localhost/*'];
    assert.deepEqual(outcomes(pushAll('--dry-run', ...filter)), {
      'localhost/other:1': 'new',
      'localhost/web:1': 'new',
    });
    assert.ok(!existsSync(store.graphroot));
    const first = pushAll();
    assert.deepEqual(outcomes(first), {
      'docker.io/library/other:latest': 'new',
      'docker.io/library/web:latest': 'new',
      'localhost/other:1': 'new',
      'localhost/web:1': 'new',
      'quay.io/ns/other:1': 'new',
    });
    assert.deepEqual(
      first.skipped.map(({ name }) => name),
      ['NO NAME'],
    );
    assert.deepEqual([...new Set(Object.values(outcomes(pushAll())))], ['there']);

    // Into another repository, and what changes there back again.
    const second = makeRepository(join(folder.path, `repository-${count++}`), 'sha256');
    assert.deepEqual(outcomes(pullAll(second, ...filter)), { 'localhost/other:1': 'new', 'localhost/web:1': 'new' });
    assert.deepEqual(manifests(second), { 'localhost/other:1': other, 'localhost/web:1': web });
    assert.deepEqual(outcomes(pullAll(second, ...filter)), {
      'localhost/other:1': 'there',
      'localhost/web:1': 'there',
    });
    tag(other, 'localhost/web:1');
    ours('oci', 'untag', 'localhost/other:1');
    assert.deepEqual(outcomes(pushAll(...filter)), { 'localhost/web:1': 'moved' });
    assert.ok(store.image('localhost/other:1'), 'nothing is removed unasked');
    const dry = { 'localhost/web:1': 'there', 'localhost/other:1': 'removed' };
    assert.deepEqual(outcomes(pushAll('--prune', '--dry-run', ...filter)), dry);
    assert.ok(store.image('localhost/other:1'));
    assert.deepEqual(outcomes(pushAll('--prune', ...filter)), dry);
    assert.equal(store.image('localhost/other:1'), undefined);
    assert.ok(store.image('quay.io/ns/other:1'), 'what the filter leaves out stays');
    assert.deepEqual(outcomes(pullAll(second, '--prune', ...filter)), {
      'localhost/web:1': 'moved',
      'localhost/other:1': 'removed',
    });
    assert.deepEqual(manifests(second), { 'localhost/web:1': other });
    store.podman('system', 'check');
    for (const name of ['localhost/web:1', 'NO NAME', 'quay.io/ns/other:1']) ours('oci', 'untag', name);
  });

  test('an image that is damaged fails, and the others come', () => {
    newStore();
    const broken = makeRepository(join(folder.path, `repository-${count++}`), 'sha256');
    for (const [from, name] of [
      ['web', 'localhost/web:1'],
      ['other', 'localhost/other:1'],
    ] as const)
      assert.equal(runCli(['--repo', broken, 'oci', 'pull', `oci:${layout.path}:${from}`, name]).status, 0);
    const id = inTree('sh', '-c', `readlink ${join(broken, 'streams', `oci-layer-${sha256(plain)}`)}`).trim();
    inTree('rm', join(broken, 'streams', id));
    const { status, stdout, stderr } = runCli([
      ...['--repo', broken, 'oci', 'push', '--all', '--json', store.reference('')],
    ]);
    assert.equal(status, 1);
    assert.match(stderr, /^localhost\/web:1: Error: /m);
    assert.match(stderr, /^Error: 1 of 2 images failed/m);
    const all = JSON.parse(stdout) as All;
    assert.deepEqual(outcomes(all), { 'localhost/other:1': 'new', 'localhost/web:1': 'failed' });
    assert.equal(store.images().length, 1);
    store.podman('system', 'check');
  });

  test('what makes no sense is wrong usage', () => {
    newStore();
    for (const args of [
      ['push', 'web'],
      ['push', 'web', store.reference('')],
      ['push', '--all', 'web', store.reference('')],
      ['push', '--prune', 'web', store.reference('localhost/a')],
      ['push', '--compression', 'zstd', 'web', store.reference('localhost/a')],
      ['push', '--authfile', '/x', 'web', store.reference('localhost/a')],
      ['push', '--dry-run', 'web', `oci:${folder.path}/out`],
      ['push', '--zero-copy', 'web', `oci:${folder.path}/out`],
      ['pull', '--all', store.reference(''), 'name'],
      ['pull', '--prune', store.reference('localhost/a')],
      ['pull', '--all', '--socket', '/x', store.reference('')],
    ]) {
      const { status, stderr } = runCli(['--repo', repository, 'oci', ...args]);
      assert.equal(status, 2, `${args.join(' ')}: ${stderr}`);
      assert.match(stderr, /^error: /);
    }
    for (const args of [
      ['push', '--all', 'web'],
      ['push', '--all', store.reference('localhost/a')],
      ['push', 'web', store.reference('UPPER')],
      ['push', 'nowhere', store.reference('localhost/a')],
      ['pull', '--all', 'oci:/x'],
    ]) {
      const { status, stderr } = runCli(['--repo', repository, 'oci', ...args]);
      assert.equal(status, 1, `${args.join(' ')}: ${stderr}`);
      assert.match(stderr, /^Error: /);
    }
    assert.ok(!existsSync(store.graphroot));
  });
});
