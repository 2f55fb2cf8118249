// Images in every form that containers' own tools give them, read by us and, where it can, by cfsctl.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, after, test } from 'node:test';
import { imageRefs } from '../../src/oci/image/refs.js';
import { openImage } from '../../src/oci/image/image.js';
import { openSource } from '../../src/oci/source/open.js';
import { pullImage } from '../../src/oci/pull/pull.js';
import type { PullResult } from '../../src/oci/pull/types.js';
import type { Algorithm } from '../../src/fsverity/object-id.js';
import { Repository } from '../../src/repository/repository.js';
import { runCli } from '../support/cli/run-cli.js';
import { Layout, sha256, tarOf } from '../support/images/source-layout.js';
import { unpackSmallStore, type SmallStore } from '../support/images/small-store.js';
import { cfsctl, run, runInPeers, SharedFolder, whyNoPeers, type Answer } from './peers.js';
import { askCfsctl, assertSound, makeRepository, namesOf, pullReport } from './repositories.js';

const skip = whyNoPeers();
let folder: SharedFolder;
let store: SmallStore;

before(() => {
  if (skip) return;
  folder = new SharedFolder();
  store = unpackSmallStore(folder.path);
});
after(() => {
  if (skip) return;
  store.remove();
  folder[Symbol.dispose]();
});

/** Copies an image of the small store with skopeo. @returns the reference as programs outside the tree write it */
function exportWithSkopeo(image: string, transport: string, name: string, tag = '', ...options: string[]): string {
  const graphroot = store.graphroot.replace(folder.path, folder.inside);
  const from = `containers-storage:[overlay@${graphroot}+${folder.inside}/run]localhost/${image}`;
  const { status, stderr } = runInPeers(
    'skopeo',
    '--insecure-policy',
    'copy',
    '-q',
    ...options,
    from,
    `${transport}:${folder.inside}/${name}${tag}`,
  );
  assert.equal(status, 0, stderr);
  return `${transport}:${join(folder.path, name)}${tag}`;
}

let count = 0;
const repositoryOf = (algorithm: Algorithm): string =>
  makeRepository(join(folder.path, `repository-${count++}`), algorithm);

async function pullHere(repository: string, reference: string): Promise<PullResult> {
  using open = await Repository.open(repository, { write: true });
  await using source = await openSource(reference);
  return await pullImage(open, source, { name: 'tag' });
}

/** The names of layers, configs and images: a manifest's stream of cfsctl differs from pull to pull. */
const comparable = (repository: string): Map<string, string> =>
  new Map([...namesOf(repository)].filter(([name]) => !name.startsWith('streams/oci-manifest-')));

const formats: [what: string, image: string, transport: string, tag: string, options: string[]][] = [
  ['an OCI folder of gzip layers', 'alpha:v3', 'oci', ':v3', []],
  ['an OCI folder of zstd layers', 'alpha:v3', 'oci', ':v3', ['--dest-compress-format', 'zstd']],
  ['an OCI folder of plain layers', 'alpha:v3', 'oci', ':v3', ['--dest-oci-accept-uncompressed-layers']],
  ['an OCI folder of an image that was docker’s', 'beta:docker', 'oci', ':b', []],
  ['an OCI folder of an image with a layer twice', 'zeta:twice', 'oci', ':t', []],
  ['an OCI archive', 'alpha:v3', 'oci-archive', ':v3', []],
];
for (const [index, [what, image, transport, tag, options]] of formats.entries()) {
  for (const algorithm of ['sha256', 'sha512'] as const) {
    test(`${what} becomes the same streams and images as with cfsctl, in ${algorithm}`, { skip }, async () => {
      const reference = exportWithSkopeo(image, transport, `export-${index}-${algorithm}`, tag, ...options);
      const [theirs, ours] = [repositoryOf(algorithm), repositoryOf(algorithm)];
      const report = pullReport(askCfsctl(theirs, 'oci', 'pull', reference, 'tag'));
      const printed = pullReport(runCli(['--repo', ours, 'oci', 'pull', reference, 'tag']));
      assert.deepEqual(comparable(ours), comparable(theirs));
      // cfsctl reads a layer that occurs twice twice, and counts it so.
      const keys = ['manifest', 'config', 'tagged', ...(image === 'zeta:twice' ? [] : ['objects'])];
      for (const key of keys) assert.equal(printed[key], report[key]);
      assertSound(ours);
    });
  }
}

const unreadable: [what: string, image: string, transport: string, tag: string][] = [
  ['a docker archive', 'alpha:v3', 'docker-archive', ':example.com/alpha:v3'],
  ['a docker archive of an image that was docker’s', 'beta:docker', 'docker-archive', ''],
  ['a dir folder', 'alpha:v3', 'dir', ''],
  ['a dir folder of an image that was docker’s', 'beta:docker', 'dir', ''],
];
for (const [index, [what, image, transport, tag]] of unreadable.entries()) {
  test(`${what} becomes the image of the OCI folder`, { skip }, async () => {
    const asLayout = exportWithSkopeo(image, 'oci', `layout-${index}`, ':it');
    const reference = exportWithSkopeo(image, transport, `other-${index}`, tag);
    const [layout, other] = [repositoryOf('sha512'), repositoryOf('sha512')];
    const expected = await pullHere(layout, asLayout);
    const actual = await pullHere(other, reference);
    assert.deepEqual(actual.images, expected.images);
    assert.deepEqual(
      actual.layers.map(({ stream }) => stream),
      expected.layers.map(({ stream }) => stream),
    );
    assertSound(other);
  });
}

test('what a compressed archive holds is what cfsctl reads in the archive', { skip }, async () => {
  const reference = exportWithSkopeo('alpha:v3', 'oci-archive', 'plain.tar', ':v3');
  const compressed = join(folder.path, 'compressed.tar');
  const { status, stderr } = runInPeers(
    'sh',
    '-c',
    `zstd -q <${folder.inside}/plain.tar >${folder.inside}/compressed.tar`,
  );
  assert.equal(status, 0, stderr);
  const [theirs, ours] = [repositoryOf('sha512'), repositoryOf('sha512')];
  pullReport(askCfsctl(theirs, 'oci', 'pull', reference, 'tag'));
  await pullHere(ours, `oci-archive:${compressed}:v3`);
  assert.deepEqual(comparable(ours), comparable(theirs));
});

test('a copy is what cfsctl copies, to the same and to the other algorithm', { skip }, async () => {
  const reference = exportWithSkopeo('alpha:v3', 'oci', 'copied', ':v3');
  for (const from of ['sha256', 'sha512'] as const) {
    const source = repositoryOf(from);
    await pullHere(source, reference);
    for (const to of ['sha256', 'sha512'] as const) {
      for (const flags of from === to ? [[], ['--zerocopy']] : [[]]) {
        const [theirs, ours] = [repositoryOf(to), repositoryOf(to)];
        const args = ['oci', 'copy', 'tag', '--from', source, '--name', 'copy', ...flags];
        const expected = askCfsctl(theirs, ...args);
        const actual = runCli(['--repo', ours, ...args]);
        assert.deepEqual([actual.status, expected.status], [0, 0], actual.stderr + expected.stderr);
        assert.deepEqual(comparable(ours), comparable(theirs));
        const lines = ({ stdout }: { stdout: string }): string[] =>
          stdout.split('\n').filter((line) => !line.startsWith('Manifest verity'));
        assert.deepEqual(lines(actual), lines(expected));
        assertSound(ours);
      }
    }
  }
});

test('a layer on standard input is stored as by cfsctl, which does not look at the digest', { skip }, () => {
  const tar = tarOf({ file: Buffer.alloc(5000, 'content ') });
  const file = join(folder.path, 'layer.tar');
  writeFileSync(file, tar);
  const [theirs, ours] = [repositoryOf('sha512'), repositoryOf('sha512')];
  const expected = importWithCfsctl(theirs, file, sha256(tar), 'a/name');
  const actual = runCli(['--repo', ours, 'oci', 'import-layer', sha256(tar), 'a/name'], { input: tar });
  assert.deepEqual([actual.status, actual.stdout], [0, expected.stdout]);
  assert.deepEqual(namesOf(ours), namesOf(theirs));
  assert.deepEqual(readdirSync(join(ours, 'streams/refs/a')), ['name']);
  const wrong = sha256(Buffer.from('something else'));
  assert.equal(importWithCfsctl(theirs, file, wrong).status, 0);
  const refused = runCli(['--repo', ours, 'oci', 'import-layer', wrong], { input: tar });
  assert.equal(refused.status, 1);
  assert.match(refused.stderr, new RegExp(sha256(tar)));
  assert.deepEqual(namesOf(ours).size, 1);
});

function importWithCfsctl(repository: string, file: string, digest: string, name = ''): Answer {
  return run('sh', [
    '-c',
    '"$1" --repo "$2" oci import-layer "$4" ${5:+"$5"} <"$3"',
    'sh',
    cfsctl,
    repository,
    file,
    digest,
    name,
  ]);
}

test('artifacts are stored as by cfsctl, and two that share the config {} where cfsctl gives up', {
  skip,
}, async () => {
  const layout = new Layout(join(folder.path, 'artifacts'));
  // cfsctl takes an artifact only when its descriptor has a platform.
  const platform = { os: 'linux', architecture: process.arch === 'x64' ? 'amd64' : process.arch };
  const one = { ...layout.artifact(['one', Buffer.alloc(3 << 20, 'x'), '']), platform };
  const { mediaType, digest, size } = one;
  const two = { ...layout.artifact(['two'], { subject: { mediaType, digest, size } }), platform };
  layout.publish({ one, two });
  const [theirs, ours] = [repositoryOf('sha512'), repositoryOf('sha512')];
  pullReport(askCfsctl(theirs, 'oci', 'pull', `oci:${layout.path}:one`, 'tag'));
  await pullHere(ours, `oci:${layout.path}:one`);
  assert.deepEqual(comparable(ours), comparable(theirs));
  assert.match(askCfsctl(theirs, 'oci', 'pull', `oci:${layout.path}:two`, 'two').stderr, /missing layer verity/);
  assert.equal(runCli(['--repo', ours, 'oci', 'pull', `oci:${layout.path}:two`, 'two']).status, 0);
  for (const tag of ['tag', 'two']) assert.equal(askCfsctl(ours, 'oci', 'inspect', tag).status, 0);
  assert.equal(askCfsctl(ours, 'gc').status, 0);
  for (const tag of ['tag', 'two'])
    assert.equal(runCli(['--repo', ours, 'oci', 'inspect', tag]).stdout, askCfsctl(ours, 'oci', 'inspect', tag).stdout);
  const { referrers } = JSON.parse(askCfsctl(ours, 'oci', 'inspect', 'tag').stdout) as { referrers: string[] };
  assert.deepEqual(referrers, [two.digest]);
  assertSound(ours);
});

test('a layout that lies is refused where cfsctl stores what it lies about', { skip }, async () => {
  const victim = tarOf({ file: 'what the victim wants' });
  const poison = tarOf({ file: 'what the attacker wants' });
  const layout = new Layout(join(folder.path, 'poison'));
  layout.publish({ it: layout.image([{ tar: victim, blob: poison }]) });
  const [theirs, ours] = [repositoryOf('sha256'), repositoryOf('sha256')];
  assert.equal(askCfsctl(theirs, 'oci', 'pull', `oci:${layout.path}:it`, 'tag').status, 0);
  assert.ok(namesOf(theirs).has(`streams/oci-layer-${sha256(victim)}`));
  await assert.rejects(pullHere(ours, `oci:${layout.path}:it`), { code: 'DIGEST_MISMATCH' });
  assert.equal(namesOf(ours).size, 0);

  // Whoever shares a repository with cfsctl does not believe what it stored.
  layout.publish({ it: layout.image([{ tar: victim }]) });
  const { layers } = await pullHere(theirs, `oci:${layout.path}:it`);
  assert.notEqual(layers[0]?.stats, undefined);
  using repository = await Repository.open(theirs);
  const { configStream } = await openImage(repository, 'tag');
  assert.equal(imageRefs(configStream.namedRefs).size, 1);
});

test('a config that was changed is refused where cfsctl stores it', { skip }, async () => {
  const layout = new Layout(join(folder.path, 'changed'));
  const image = layout.image([{ tar: tarOf({ file: 'x' }) }], { author: 'me' });
  layout.publish({ it: image });
  const { config } = JSON.parse(readFileSync(layout.fileOf(image.digest), 'utf8')) as { config: { digest: string } };
  const file = layout.fileOf(config.digest);
  writeFileSync(file, readFileSync(file, 'utf8').replace('"me"', '"it"'));
  const [theirs, ours] = [repositoryOf('sha256'), repositoryOf('sha256')];
  assert.equal(askCfsctl(theirs, 'oci', 'pull', `oci:${layout.path}:it`, 'tag').status, 0);
  await assert.rejects(pullHere(ours, `oci:${layout.path}:it`), { code: 'DIGEST_MISMATCH' });
  assert.equal(namesOf(ours).size, 0);
});
