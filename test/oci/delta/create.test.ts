// Deltas that we make, applied by us; test/interop/create-delta.test.ts has others apply them.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { chmodSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { verityDigest } from '../../../src/fsverity/digest.js';
import { objectPath } from '../../../src/fsverity/object-id.js';
import { applyDelta } from '../../../src/oci/delta/apply.js';
import { createDelta } from '../../../src/oci/delta/create.js';
import type { CreateDeltaOptions, CreateDeltaResult } from '../../../src/oci/delta/types.js';
import { pullImage } from '../../../src/oci/pull/pull.js';
import type { PullOptions } from '../../../src/oci/pull/types.js';
import { openSource } from '../../../src/oci/source/open.js';
import type { Repository } from '../../../src/repository/repository.js';
import { parseManifest } from '../../../src/spec/manifest.js';
import { layerTar, publishPair, withInsertions, words } from '../../support/images/delta-pair.js';
import { newFolder, newLayout, newRepository, type Layout } from '../../support/images/source-layout.js';
import { noise } from '../../support/random.js';
import { withoutLeak } from '../../support/open-fds.js';

async function pull(
  repository: Repository,
  reference: string,
  name: string,
  options: PullOptions = {},
): Promise<string> {
  await using source = await openSource(reference);
  return (await pullImage(repository, source, { name, ...options })).manifestDigest;
}

interface Pair {
  path: string;
  repository: Repository;
  layout: Layout;
  folder: string;
  create(destination: string, options?: CreateDeltaOptions): Promise<CreateDeltaResult>;
}

async function pair(t: TestContext, publish: (layout: Layout) => void = publishPair): Promise<Pair> {
  const layout = newLayout(t);
  publish(layout);
  const { path, repository } = await newRepository(t);
  for (const name of ['old', 'new']) await pull(repository, `oci:${layout.path}:${name}`, name);
  return {
    path,
    repository,
    layout,
    folder: newFolder(t),
    create: (destination, options) => createDelta(repository, 'old', 'new', destination, options),
  };
}

/** What applying a delta brings must be what a pull of the image brings. */
async function assertMakes(t: TestContext, { layout }: Pair, delta: string): Promise<void> {
  const direct = await newRepository(t);
  const expected = await pull(direct.repository, `oci:${layout.path}:new`, 'new');
  const { repository } = await newRepository(t);
  await pull(repository, `oci:${layout.path}:old`, 'old');
  await using source = await openSource(delta);
  const made = await applyDelta(repository, source, { name: 'new' });
  assert.equal(made.manifestDigest, expected);
  await using again = await openSource(`oci:${layout.path}:new`);
  const present = await pullImage(repository, again, {});
  assert.deepEqual(
    present.layers.map(({ stats }) => stats),
    present.layers.map(() => undefined),
    'a pull finds everything there',
  );
  await using image = await openSource(`oci:${layout.path}:new`);
  assert.deepEqual(made.images, (await pullImage(direct.repository, image, {})).images);
}

/** Of all that a layout holds. */
function digestOf(folder: string): string {
  const hash = createHash('sha256');
  for (const name of [
    'index.json',
    ...readdirSync(join(folder, 'blobs/sha256'))
      .sort()
      .map((blob) => `blobs/sha256/${blob}`),
  ])
    hash.update(name).update(readFileSync(join(folder, name)));
  return hash.digest('hex');
}

for (const format of [1, 2] as const)
  for (const transport of ['oci', 'oci-archive'])
    test(`format ${format}, ${transport}: what it makes is what a pull brings`, async (t) => {
      const images = await pair(t);
      const place = `${transport}:${join(images.folder, 'delta')}`;
      const { layers, size, fullSize } = await images.create(place, { format });
      assert.deepEqual(
        layers.map(({ made }) => made),
        ['reused', 'patch', 'whole'],
      );
      assert.deepEqual(layers[1]?.parts, {
        copied: 100_000,
        changed: 550_393,
        added: 20_000,
        rest: layers[1]?.parts?.rest,
      });
      assert.ok(size < fullSize / 10, `${size} of ${fullSize}`);
      await assertMakes(t, images, place);
    });

test('the manifest says what other programs look for', async (t) => {
  const images = await pair(t);
  const { manifestDigest, sourceConfig, target } = await images.create(`oci:${images.folder}/delta`);
  await using source = await openSource(`oci:${images.folder}/delta`);
  const manifest = parseManifest(source.manifest);
  assert.equal(manifest.mediaType, undefined);
  assert.equal(manifest.artifactType, 'application/vnd.io.github.containers.oci-delta.v1');
  assert.equal(manifest.config.mediaType, 'application/vnd.oci.empty.v1+json');
  assert.equal(manifest.subject?.digest, target);
  assert.equal(manifest.annotations?.['io.github.containers.delta.source-config'], sourceConfig);
  assert.deepEqual(
    manifest.layers.map(({ mediaType, annotations }) => [
      mediaType,
      annotations?.['io.github.containers.delta.content'],
    ]),
    [
      ['application/vnd.oci.image.manifest.v1+json', 'image-manifest'],
      ['application/vnd.oci.image.config.v1+json', 'image-config'],
      ['application/vnd.tar-diff', 'image-layer'],
      ['application/vnd.oci.image.layer.v1.tar+zstd', 'image-layer'],
    ],
  );
  const index = JSON.parse(readFileSync(`${images.folder}/delta/index.json`, 'utf8')) as { manifests: object[] };
  assert.deepEqual(
    index.manifests.map((entry) => Object.keys(entry)),
    [['mediaType', 'digest', 'size']],
  );
  assert.equal((index.manifests[0] as { digest: string }).digest, manifestDigest);
});

for (const format of [1, 2] as const)
  test(`format ${format}: the same images give the same bytes`, async (t) => {
    const images = await pair(t);
    await images.create(`oci:${images.folder}/a`, { format });
    await images.create(`oci:${images.folder}/b`, { format });
    assert.equal(digestOf(`${images.folder}/a`), digestOf(`${images.folder}/b`));
  });

test('a layer that gains nothing is carried as the blob that it was, where that was kept', async (t) => {
  const images = await pair(t);
  await pull(images.repository, `oci:${images.layout.path}:new`, 'new', { keepBlobs: true });
  const { layers } = await images.create(`oci:${images.folder}/delta`);
  assert.equal(layers[2]?.made, 'whole');
  assert.equal(layers[2]?.size, layers[2]?.fullSize);
  await using source = await openSource(`oci:${images.folder}/delta`);
  assert.deepEqual(
    parseManifest(source.manifest)
      .layers.slice(3)
      .map(({ digest, mediaType }) => [digest, mediaType]),
    [[layers[2]?.digest, 'application/vnd.oci.image.layer.v1.tar+gzip']],
  );
  await assertMakes(t, images, `oci:${images.folder}/delta`);
});

test('nothing but documents is needed where all layers are there', async (t) => {
  const images = await pair(t, (layout) => {
    const layer = { tar: layerTar([['etc/'], ['etc/words', words(100)]]) };
    layout.publish({ old: layout.image([layer]), new: layout.image([layer], { author: 'somebody' }) });
  });
  const { layers } = await images.create(`oci:${images.folder}/delta`);
  assert.deepEqual(
    layers.map(({ made }) => made),
    ['reused'],
  );
  await assertMakes(t, images, `oci:${images.folder}/delta`);
});

for (const format of [1, 2] as const)
  test(`format ${format}: a file longer than what is packed at a time`, async (t) => {
    const old = randomBytes(70 << 20);
    const images = await pair(t, (layout) => {
      layout.publish({
        old: layout.image([{ tar: layerTar([['long', old]]) }]),
        new: layout.image([{ tar: layerTar([['long', withInsertions(old, 30)]]) }]),
      });
    });
    const { layers } = await images.create(`oci:${images.folder}/delta`, { format });
    assert.ok((layers[0]?.size ?? Infinity) < 20_000, `${layers[0]?.size}`);
    await assertMakes(t, images, `oci:${images.folder}/delta`);
  });

test('a damaged object ends it, of either image', async (t) => {
  for (const bytes of [noise(300_000, 'app'), noise(20_000, 'new')]) {
    const images = await pair(t);
    const id = verityDigest(bytes, 'sha256').toString('hex');
    const path = join(images.path, 'objects', objectPath(id));
    chmodSync(path, 0o600);
    bytes[1000] = 0xff;
    writeFileSync(path, bytes);
    await assert.rejects(images.create(`oci-archive:${images.folder}/delta`), (error: Error & { code?: string }) => {
      assert.match(error.message.replace('/', ''), new RegExp(id));
      return error.code === 'OBJECT_DAMAGED' || error.code === 'DIGEST_MISMATCH';
    });
    assert.deepEqual(readdirSync(images.folder), []);
  }
});

test('what cannot be done is said', async (t) => {
  const images = await pair(t);
  const cases: [destination: string, code: string, options?: CreateDeltaOptions][] = [
    ['dir:/x', 'NOT_FOUND'],
    ['docker-archive:/x', 'NOT_FOUND'],
    ['docker://example.org/a/b:tag', 'BAD_REFERENCE'],
    ['docker://example.org/a/b@sha256:00', 'BAD_REFERENCE'],
    [`oci:${images.folder}/d`, 'COMPRESSION_LEVEL', { compressionLevel: 20 }],
    [`oci:${images.folder}/d`, 'COMPRESSION_LEVEL', { compressionLevel: 0 }],
  ];
  for (const [destination, code, options] of cases)
    await assert.rejects(images.create(destination, options), { code }, destination);
  await assert.rejects(createDelta(images.repository, 'old', 'nothing', `oci:${images.folder}/d`), {
    code: 'NOT_FOUND',
  });
  assert.equal(existsSync(`${images.folder}/d`), false);
});

test('a signal ends it, and no descriptor stays open', async (t) => {
  const images = await pair(t);
  await withoutLeak(async () => {
    const abort = new AbortController();
    const onEvent: CreateDeltaOptions['onEvent'] = ({ kind }) => {
      if (kind === 'packing') abort.abort(new Error('enough'));
    };
    await assert.rejects(images.create(`oci-archive:${images.folder}/d`, { signal: abort.signal, onEvent }), /enough/);
  });
  assert.deepEqual(readdirSync(images.folder), []);
});
