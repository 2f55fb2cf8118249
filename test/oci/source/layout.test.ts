import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync, unlinkSync, writeFileSync } from 'node:fs';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { gzipSync } from 'node:zlib';
import { compress } from 'zstd-napi';
import { openSource } from '../../../src/oci/source/open.js';
import { pullImage } from '../../../src/oci/pull/pull.js';
import type { PullResult } from '../../../src/oci/pull/types.js';
import { layerContentId } from '../../../src/repository/names.js';
import type { Repository } from '../../../src/repository/repository.js';
import { withoutLeak } from '../../support/open-fds.js';
import {
  newFolder,
  newLayout,
  newRepository,
  sha256,
  tarOf,
  type LayerOfImage,
} from '../../support/images/source-layout.js';

const TAR = tarOf({ random: randomBytes(700_000), text: 'some text '.repeat(100_000), small: 'x' });
const half = TAR.length >> 1;
const SKIPPABLE = Buffer.from([0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3]);

async function pull(repository: Repository, reference: string): Promise<PullResult> {
  await using source = await openSource(reference);
  return await pullImage(repository, source, { name: 'tag' });
}

async function pullLayers(
  t: TestContext,
  layers: readonly LayerOfImage[],
): Promise<{ repository: Repository; result: PullResult }> {
  const layout = newLayout(t);
  layout.publish({ it: layout.image(layers) });
  const { repository } = await newRepository(t);
  assert.ok(repository.objects);
  const result = await withoutLeak(() => pull(repository, `oci:${layout.path}:it`));
  return { repository, result };
}

const blobs: [name: string, blob: Buffer, mediaType: string][] = [
  ['a plain layer', TAR, '.tar'],
  ['a gzip layer', gzipSync(TAR), '.tar+gzip'],
  [
    'a gzip layer of two members',
    Buffer.concat([gzipSync(TAR.subarray(0, half)), gzipSync(TAR.subarray(half))]),
    '.tar+gzip',
  ],
  [
    'a gzip layer of many members',
    Buffer.concat(
      Array.from({ length: 200 }, (_, i) =>
        gzipSync(TAR.subarray(i * 10_000, i === 199 ? TAR.length : (i + 1) * 10_000)),
      ),
    ),
    '.tar+gzip',
  ],
  ['a gzip layer with zeros after it', Buffer.concat([gzipSync(TAR), Buffer.alloc(1 << 20)]), '.tar+gzip'],
  ['a zstd layer', compress(TAR), '.tar+zstd'],
  [
    'a zstd layer of frames, some to skip',
    Buffer.concat([SKIPPABLE, compress(TAR.subarray(0, half)), SKIPPABLE, compress(TAR.subarray(half)), SKIPPABLE]),
    '.tar+zstd',
  ],
  ['a plain layer that calls itself gzip', TAR, '.tar+gzip'],
  ['a gzip layer that calls itself plain', gzipSync(TAR), '.tar'],
];
const streams = new Set<string>();
for (const [name, blob, type] of blobs) {
  test(`${name} becomes the same stream and image as its tar`, async (t) => {
    const { result } = await pullLayers(t, [
      { tar: TAR, blob, descriptor: { mediaType: `application/vnd.oci.image.layer.v1${type}` } },
    ]);
    assert.equal(result.layers[0]?.diffId, sha256(TAR));
    streams.add([result.layers[0].stream, ...result.images.values()].join());
    assert.equal(streams.size, 1);
  });
}

test('layers of all kinds of one image are pulled side by side', async (t) => {
  const layers = Array.from({ length: 12 }, (_, i) => {
    const tar = tarOf({ [`file${i}`]: randomBytes(300_000), shared: `layer ${i}`.padEnd(100) });
    return { tar, blob: [tar, gzipSync(tar), compress(tar)][i % 3] as Buffer };
  });
  const { result } = await pullLayers(t, layers);
  assert.deepEqual(
    result.layers.map(({ diffId }) => diffId),
    layers.map(({ tar }) => sha256(tar)),
  );
});

test('a layer that is in the repository already need not be in the layout', async (t) => {
  const layout = newLayout(t).publish({});
  const first = layout.image([{ tar: TAR }]);
  const second = layout.image([{ tar: TAR }], { created: '2026-01-01T00:00:00Z' });
  const { repository } = await newRepository(t);
  await pull(repository, `oci:${layout.publish({ first, second }).path}:first`);
  unlinkSync(layout.fileOf(sha256(TAR)));
  const { layers } = await pull(repository, `oci:${layout.path}:second`);
  assert.equal(layers[0]?.stats, undefined);
});

test('an archive gives what its folder gives, packed in any way', async (t) => {
  const layout = newLayout(t);
  layout.publish({ it: layout.image([{ tar: TAR, blob: gzipSync(TAR) }]) });
  const { repository } = await newRepository(t);
  const expected = await pull(repository, `oci:${layout.path}`);
  const folder = newFolder(t);
  const archive = join(folder, 'image.tar');
  execFileSync('tar', ['-cf', archive, '-C', layout.path, '.']);
  const tar = readFileSync(archive);
  for (const bytes of [tar, gzipSync(tar), compress(tar)]) {
    writeFileSync(archive, bytes);
    const other = await newRepository(t);
    assert.ok(other.repository.objects);
    const { manifestStream, images } = await withoutLeak(() => pull(other.repository, `oci-archive:${archive}:it`));
    assert.deepEqual({ manifestStream, images }, { manifestStream: expected.manifestStream, images: expected.images });
  }
});

test('a tag may be left out where there is one image, and has to be given where there are two', async (t) => {
  const layout = newLayout(t);
  const one = layout.image([{ tar: TAR }]);
  const two = layout.image([{ tar: TAR }], { created: '2026-01-01T00:00:00Z' });
  layout.publish({ one, again: one });
  const { repository } = await newRepository(t);
  assert.equal((await pull(repository, `oci:${layout.path}`)).manifestDigest, one.digest);
  layout.publish({ one, two });
  await assert.rejects(openSource(`oci:${layout.path}`), { code: 'AMBIGUOUS_IMAGE', message: /one, two/ });
  await assert.rejects(openSource(`oci:${layout.path}:three`), { code: 'NOT_FOUND', message: /it has one, two/ });
  assert.equal((await pull(repository, `oci:${layout.path}:two`)).manifestDigest, two.digest);
});

test('an image is not taken for an artifact because its layer is one blob of the same bytes', async (t) => {
  const layout = newLayout(t);
  layout.publish({ blob: layout.artifact([TAR]), image: layout.image([{ tar: TAR }]) });
  const { repository } = await newRepository(t);
  for (const [first, second] of [
    ['blob', 'image'],
    ['image', 'blob'],
  ]) {
    await pull(repository, `oci:${layout.path}:${first}`);
    await pull(repository, `oci:${layout.path}:${second}`);
    assert.notEqual(repository.streamObject(layerContentId(sha256(TAR))), undefined);
  }
});
