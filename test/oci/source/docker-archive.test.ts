import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { gzipSync } from 'node:zlib';
import { dockerName } from '../../../src/oci/source/docker-name.js';
import { isContainerImage, parseManifest } from '../../../src/spec/manifest.js';
import { openSource } from '../../../src/oci/source/open.js';
import { hostPlatform } from '../../../src/spec/platform.js';
import { pullImage } from '../../../src/oci/pull/pull.js';
import type { PullResult } from '../../../src/oci/pull/types.js';
import { withoutLeak } from '../../support/open-fds.js';
import { END, header, padded } from '../../support/layers/make-tar.js';
import {
  archiveOf,
  newFolder,
  newLayout,
  newRepository,
  sha256,
  tarOf,
  writeIn,
  type Described,
} from '../../support/images/source-layout.js';

const BASE = tarOf({ random: randomBytes(100_000) });
const TOP = tarOf({ text: 'text '.repeat(1000) });
const config = (...tars: Buffer[]): string =>
  JSON.stringify({ ...hostPlatform(), rootfs: { type: 'layers', diff_ids: tars.map(sha256) } });

async function pull(t: TestContext, reference: string): Promise<PullResult> {
  const { repository } = await newRepository(t);
  assert.ok(repository.objects);
  return withoutLeak(async () => {
    await using source = await openSource(reference);
    return await pullImage(repository, source, { name: 'it' });
  });
}

/** Images from an OCI layout, which other tests compare with cfsctl's. */
async function expected(t: TestContext, ...tars: Buffer[]): Promise<unknown> {
  const layout = newLayout(t);
  layout.publish({ it: layout.image(tars.map((tar) => ({ tar }))) });
  return (await pull(t, `oci:${layout.path}`)).images;
}

interface Item {
  Config: string;
  RepoTags?: string[] | null;
  Layers: string[];
}

const write = (t: TestContext, bytes: Buffer): string => writeIn(join(newFolder(t), 'archive.tar'), bytes);
const listing = (...items: Item[]): [string, string] => ['manifest.json', JSON.stringify(items)];

test('a docker archive gives the image of its layers, whether they are compressed, linked, or the archive is', async (t) => {
  const images = await expected(t, BASE, TOP, BASE);
  const item = {
    Config: 'c.json',
    RepoTags: ['example.com/a:b'],
    Layers: ['one/layer.tar', './two/layer.tar', 'three/layer.tar'],
  };
  const files: [string, Buffer | string][] = [
    ['one/layer.tar', BASE],
    ['two/layer.tar', gzipSync(TOP)],
    ['c.json', config(BASE, TOP, BASE)],
    listing(item),
  ];
  const tar = archiveOf(files, { 'three/layer.tar': '../one/layer.tar' });
  for (const bytes of [tar, gzipSync(tar)]) {
    const result = await pull(t, `docker-archive:${write(t, bytes)}`);
    assert.deepEqual(result.images, images);
    assert.equal(result.configDigest, sha256(Buffer.from(config(BASE, TOP, BASE))));
  }
});

test('the manifest made for a docker archive says what lies in it', async (t) => {
  const blob = gzipSync(TOP);
  const path = write(
    t,
    archiveOf([['1', BASE], ['2', blob], ['c', config(BASE, TOP)], listing({ Config: 'c', Layers: ['1', '2'] })]),
  );
  await using source = await openSource(`docker-archive:${path}`);
  const manifest = parseManifest(source.manifest);
  assert.ok(isContainerImage(manifest));
  assert.deepEqual(
    manifest.layers.map(({ mediaType, digest, size }) => [mediaType.replace(/.*\./, ''), digest, size]),
    [
      ['tar', sha256(BASE), BASE.length],
      ['tar+gzip', sha256(blob), blob.length],
    ],
  );
});

test('an image of several is chosen by any of its names, written in any way, or by its position', async (t) => {
  const items = [
    { Config: 'a', RepoTags: ['debian:12', 'example.com:5000/x/y:z'], Layers: ['1'] },
    { Config: 'b', RepoTags: null, Layers: ['1', '2'] },
  ];
  const path = write(
    t,
    archiveOf([['1', BASE], ['2', TOP], ['a', config(BASE)], ['b', config(BASE, TOP)], listing(...items)]),
  );
  const layersOf = async (choice: string): Promise<number> => {
    await using source = await openSource(`docker-archive:${path}${choice}`);
    return source.layers.length;
  };
  for (const choice of [
    ':debian:12',
    ':docker.io/library/debian:12',
    ':docker.io/debian:12',
    ':example.com:5000/x/y:z',
    ':@0',
  ])
    assert.equal(await layersOf(choice), 1, choice);
  assert.equal(await layersOf(':@1'), 2);
  await assert.rejects(layersOf(''), { code: 'AMBIGUOUS_IMAGE', message: /debian:12, @1/ });
  for (const choice of [':debian', ':debian:13', ':@2', ':x/y:z'])
    await assert.rejects(layersOf(choice), { code: 'NOT_FOUND' }, choice);
});

const names: [written: string, full: string][] = [
  ['debian', 'docker.io/library/debian:latest'],
  ['ns/debian:1', 'docker.io/ns/debian:1'],
  ['index.docker.io/debian', 'docker.io/library/debian:latest'],
  ['localhost/a', 'localhost/a:latest'],
  ['host:5000/a', 'host:5000/a:latest'],
  ['example.com/a/b@sha256:00', 'example.com/a/b@sha256:00'],
];
for (const [written, full] of names)
  test(`${written} is ${full} in full`, () => assert.equal(dockerName(written), full));

const good: [string, Buffer | string][] = [['1', BASE], ['c', config(BASE)], listing({ Config: 'c', Layers: ['1'] })];
const hostile: [what: string, archive: () => Buffer, code: string][] = [
  ['no manifest.json', () => archiveOf([['1', BASE]]), 'NOT_FOUND'],
  ['a manifest.json that is no list', () => archiveOf([['manifest.json', '{}']]), 'MANIFEST_INVALID'],
  [
    'a layer that is not in it',
    () => archiveOf([['c', config(BASE)], listing({ Config: 'c', Layers: ['1'] })]),
    'NOT_FOUND',
  ],
  [
    'a layer that leads out of it',
    () => archiveOf([['c', config(BASE)], listing({ Config: 'c', Layers: ['../../etc/passwd'] })]),
    'NOT_FOUND',
  ],
  [
    'a layer that is a symlink out of it',
    () => archiveOf([['c', config(BASE)], listing({ Config: 'c', Layers: ['1'] })], { 1: '../../../etc/passwd' }),
    'NOT_FOUND',
  ],
  [
    'symlinks in a circle',
    () => archiveOf([['c', config(BASE)], listing({ Config: 'c', Layers: ['1'] })], { 1: '2', 2: '1' }),
    'SYMLINK',
  ],
  ['a name that leads out of it', () => archiveOf([...good, ['../x', 'x']]), 'ARCHIVE_NAME'],
  ['a name that occurs twice', () => archiveOf([...good, ['./1', TOP]]), 'ARCHIVE_NAME'],
  ['another layer than its config says', () => archiveOf([['1', TOP], ...good.slice(1)]), 'DIGEST_MISMATCH'],
  [
    'a missing layer in its list',
    () => archiveOf([['c', config(BASE, TOP)], listing({ Config: 'c', Layers: ['1'] })]),
    'LAYER_CHAIN',
  ],
  ['an end in the middle of a layer', () => archiveOf(good).subarray(0, 50_000), 'TAR_TRUNCATED'],
  ['an end in the middle of a header', () => archiveOf(good).subarray(0, 300), 'TAR_TRUNCATED'],
  [
    'a layer of 8 EiB by its header',
    () =>
      Buffer.concat([
        header({ name: '1', size: Buffer.from('800000007fffffffffffff00'.padStart(24, '0'), 'hex') }),
        padded(BASE),
        END,
      ]),
    'TAR_NUMBER',
  ],
  ['gzip data that is cut', () => gzipSync(archiveOf(good)).subarray(0, -500), 'COMPRESSION'],
  ['bzip2 data', () => Buffer.from('BZh91AY&SY'), 'COMPRESSION'],
  ['no tar', () => randomBytes(5000), 'TAR_CHECKSUM'],
  ['nothing', () => Buffer.alloc(0), 'NOT_FOUND'],
];
for (const [what, archive, code] of hostile) {
  test(`a docker archive with ${what} is refused`, async (t) => {
    await assert.rejects(pull(t, `docker-archive:${write(t, archive())}`), { code });
  });
}

const DOCKER = 'application/vnd.docker';
const MANIFEST = `${DOCKER}.distribution.manifest.v2+json`;

/** A folder as skopeo's `dir:` writes it. */
function dirImage(
  t: TestContext,
  tars: readonly Buffer[],
  layerType = `${DOCKER}.image.rootfs.diff.tar.gzip`,
): { path: string; manifest: Buffer } {
  const path = newFolder(t);
  const put = (bytes: Buffer, mediaType: string): Described => {
    writeFileSync(join(path, sha256(bytes).slice(7)), bytes);
    return { mediaType, digest: sha256(bytes), size: bytes.length };
  };
  const layers = tars.map((tar) => put(gzipSync(tar), layerType));
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MANIFEST,
      config: put(Buffer.from(config(...tars)), `${DOCKER}.container.image.v1+json`),
      layers,
    }),
  );
  writeFileSync(join(path, 'manifest.json'), manifest);
  writeFileSync(join(path, 'version'), 'Directory Transport Version: 1.1\n');
  return { path, manifest };
}

test('a docker image in a dir folder keeps its manifest and becomes the image of its layers', async (t) => {
  const { path, manifest } = dirImage(t, [BASE, TOP]);
  const result = await pull(t, `dir:${path}`);
  assert.equal(result.manifestDigest, sha256(manifest));
  assert.deepEqual(result.images, await expected(t, BASE, TOP));
});

test('an index in a dir folder leads to the manifest beside it', async (t) => {
  const { path, manifest } = dirImage(t, [BASE]);
  const digest = sha256(manifest);
  writeFileSync(join(path, `${digest.slice(7)}.manifest.json`), manifest);
  const entry = { mediaType: MANIFEST, digest, size: manifest.length, platform: hostPlatform() };
  writeFileSync(
    join(path, 'manifest.json'),
    JSON.stringify({ schemaVersion: 2, mediaType: `${DOCKER}.distribution.manifest.list.v2+json`, manifests: [entry] }),
  );
  assert.equal((await pull(t, `dir:${path}`)).manifestDigest, digest);
});

test('a dir folder that is none is refused', async (t) => {
  const { path } = dirImage(t, [BASE], 'application/vnd.example');
  await assert.rejects(pull(t, `dir:${path}`), { code: 'LAYER_TYPE' });
  writeFileSync(join(path, 'version'), 'Directory Transport Version: 2.0\n');
  await assert.rejects(pull(t, `dir:${path}`), { code: 'LAYOUT_INVALID' });
  const empty = newFolder(t);
  await assert.rejects(pull(t, `dir:${empty}`), { code: 'NOT_FOUND' });
  symlinkSync(join(path, 'manifest.json'), join(empty, 'manifest.json'));
  await assert.rejects(pull(t, `dir:${empty}`), { code: 'SYMLINK' });
  await assert.rejects(pull(t, `dir:${empty}/nothing`), { code: 'NOT_FOUND' });
});

for (const reference of ['ostree:debian', 'debian', 'constructor:x', ':x']) {
  test(`"${reference}" names the transports there are`, () =>
    assert.rejects(openSource(reference), { code: 'NOT_FOUND', message: /oci-archive:/ }));
}
