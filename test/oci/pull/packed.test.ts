// Which blob a layer came out of is remembered where it was seen, and nowhere else.
import assert from 'node:assert/strict';
import { lchownSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { gzipSync } from 'node:zlib';
import { compress } from '../../../src/compress/compress.js';
import type { Compression } from '../../../src/compress/decompress.js';
import { openImage, streamOf } from '../../../src/oci/image/image.js';
import { packedBlob } from '../../../src/oci/pull/packed.js';
import { pullImage } from '../../../src/oci/pull/pull.js';
import { openSource } from '../../../src/oci/source/open.js';
import { collectGarbage } from '../../../src/repository/gc/gc.js';
import { Repository } from '../../../src/repository/repository.js';
import { removeTag } from '../../../src/repository/tags.js';
import { runCli } from '../../support/cli/run-cli.js';
import {
  newLayout,
  newRepository,
  sha256,
  tarOf,
  TYPES,
  type Layout,
  type LayerOfImage,
} from '../../support/images/source-layout.js';

const tar = tarOf({ text: 'content '.repeat(50_000) });
const blob = gzipSync(tar);
const packed = { tar, blob, descriptor: { mediaType: `${TYPES.layer}+gzip` } };
async function compressed(compression: Compression, bytes: Buffer): Promise<Buffer> {
  const pieces: Buffer[] = [];
  const one = async function* (): AsyncGenerator<Buffer> {
    yield bytes;
  };
  for await (const piece of compress(one(), { compression })) pieces.push(Buffer.from(piece));
  return Buffer.concat(pieces);
}

const facts = { digest: sha256(blob), size: blob.length };

interface Scene {
  layout: Layout;
  path: string;
  repository: Repository;
}

async function pulled(t: TestContext, layers: LayerOfImage[], options: { keepBlobs?: boolean } = {}): Promise<Scene> {
  const layout = newLayout(t);
  layout.publish({ it: layout.image(layers) });
  const { path, repository } = await newRepository(t);
  await using source = await openSource(`oci:${layout.path}:it`);
  await pullImage(repository, source, { name: 'it', ...options });
  return { layout, path, repository };
}

async function known(
  repository: Repository,
  asked: { digest: string; size: number } = facts,
): Promise<ReturnType<typeof packedBlob>> {
  const stream = streamOf(await openImage(repository, 'it'), sha256(tar));
  assert.ok(stream);
  return packedBlob(repository, asked, stream);
}

for (const keepBlobs of [false, true])
  test(`a pull ${keepBlobs ? 'with' : 'without'} --keep-blobs sees which blob the layer is`, async (t) => {
    const { repository } = await pulled(t, [packed], { keepBlobs });
    assert.deepEqual(await known(repository), { ...facts, compression: 'gzip' });
  });

test('the compression is that of the bytes and not that of the media type', async (t) => {
  const zstd = await compressed('zstd', tar);
  const { repository } = await pulled(t, [{ ...packed, blob: zstd }]);
  const asked = { digest: sha256(zstd), size: zstd.length };
  assert.deepEqual(await known(repository, asked), { ...asked, compression: 'zstd' });
});

test('another blob, and another size of this one, are claims', async (t) => {
  const { repository } = await pulled(t, [packed]);
  assert.equal(await known(repository, { ...facts, size: facts.size + 1 }), undefined);
  assert.equal(await known(repository, { ...facts, digest: sha256(Buffer.from('another')) }), undefined);
});

test('a plain tar is no blob to be remembered', async (t) => {
  const { path, repository } = await pulled(t, [{ tar }]);
  assert.equal(await known(repository, { digest: sha256(tar), size: tar.length }), undefined);
  assert.deepEqual(readdirSync(join(path, 'verified')), [`oci-layer-${sha256(tar)}`]);
});

test("a mark that is a stranger's counts for nothing", { skip: process.getuid?.() !== 0 && 'not root' }, async (t) => {
  const { path, repository } = await pulled(t, [packed]);
  const mark = readdirSync(join(path, 'verified')).find((name) => name.startsWith('oci-packed-')) as string;
  lchownSync(join(path, 'verified', mark), 12_345, 12_345);
  assert.equal(await known(repository), undefined);
});

test('the mark lives as long as the layer', async (t) => {
  const { path, repository } = await pulled(t, [packed]);
  await collectGarbage(repository);
  assert.ok(await known(repository));
  removeTag(repository, 'it');
  await collectGarbage(repository);
  assert.deepEqual(readdirSync(join(path, 'verified')), []);
});

test('fsck has nothing to say about it, and a migration takes it along', async (t) => {
  const { path, repository } = await pulled(t, [packed]);
  repository[Symbol.dispose]();
  assert.equal(runCli(['--repo', path, 'fsck']).status, 0);
  const { algorithm } = JSON.parse(readFileSync(join(path, 'meta.json'), 'utf8')) as { algorithm: string };
  const migrated = runCli([
    '--repo',
    path,
    'migrate',
    '--algorithm',
    algorithm.includes('512') ? 'fsverity-sha256-12' : 'fsverity-sha512-12',
  ]);
  assert.equal(migrated.status, 0, migrated.stderr);
  using again = await Repository.open(path);
  assert.deepEqual(await known(again), { ...facts, compression: 'gzip' });
});
