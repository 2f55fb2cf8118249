import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, rmSync, truncateSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { DigestMismatchError, FormatError, NotFoundError } from '../../../src/errors.js';
import { RepositoryLayer } from '../../../src/oci/image/repository-layer.js';
import { isVerified, markVerified, verifyLayerStream } from '../../../src/oci/pull/verified.js';
import { initRepository } from '../../../src/repository/init.js';
import { objectPath, type ObjectId } from '../../../src/fsverity/object-id.js';
import { Repository } from '../../../src/repository/repository.js';
import { CONTENT_TYPES } from '../../../src/repository/splitstream/format.js';
import { SplitstreamWriter } from '../../../src/repository/splitstream/writer.js';

interface Layer {
  path: string;
  repository: Repository;
  tar: Buffer;
  diffId: string;
  stream: ObjectId;
  objects: ObjectId[];
}

/** A stored layer of 300 files and some bytes between them. */
async function storeLayer(t: TestContext): Promise<Layer> {
  const path = mkdtempSync(join(tmpdir(), 'verified-'));
  initRepository(path, { insecure: true, algorithm: 'sha256', ensure: true });
  const repository = await Repository.open(path, { write: true });
  t.after(() => {
    repository[Symbol.dispose]();
    rmSync(path, { recursive: true });
  });
  const writer = new SplitstreamWriter(CONTENT_TYPES.layer, 'sha256');
  const parts: Buffer[] = [];
  const objects: ObjectId[] = [];
  for (let i = 0; i < 300; i++) {
    const header = randomBytes(512);
    const content = randomBytes(i === 7 ? 3 << 20 : 65 + 37 * i);
    const id = await repository.objects.put(content);
    writer.inline(header);
    writer.external(id, content.length);
    parts.push(header, content);
    objects.push(id);
  }
  const tar = Buffer.concat(parts);
  const diffId = `sha256:${createHash('sha256').update(tar).digest('hex')}`;
  return { path, repository, tar, diffId, stream: await repository.objects.put(await writer.finish()), objects };
}

test('a stored layer has its diff_id', async (t) => {
  const { repository, diffId, stream } = await storeLayer(t);
  await verifyLayerStream(repository, diffId, stream);
});

test('chunks name the objects and their sizes', async (t) => {
  const { repository, stream, objects, tar } = await storeLayer(t);
  await using layer = new RepositoryLayer(repository, stream);
  const names: string[] = [];
  let size = 0;
  for await (const chunks of layer) {
    for (const chunk of chunks) {
      size += chunk.kind === 'bytes' ? chunk.bytes.length : chunk.size;
      if (chunk.kind === 'named') names.push(chunk.name);
    }
  }
  assert.deepEqual(names, objects.map(objectPath));
  assert.equal(size, tar.length);
  assert.equal(layer.declaredSize, BigInt(tar.length));
});

test('a layer that is not what it is called is found out', async (t) => {
  const { path, repository, diffId, stream, objects } = await storeLayer(t);
  const other = `sha256:${'0'.repeat(64)}`;
  await assert.rejects(verifyLayerStream(repository, other, stream), DigestMismatchError);
  const object = join(path, 'objects', objectPath(objects[200] as ObjectId));
  writeFileSync(object, randomBytes(65 + 37 * 200));
  await assert.rejects(verifyLayerStream(repository, diffId, stream), DigestMismatchError);
  truncateSync(object, 100);
  await assert.rejects(verifyLayerStream(repository, diffId, stream), DigestMismatchError);
  truncateSync(object, 10);
  await assert.rejects(verifyLayerStream(repository, diffId, stream), FormatError);
  unlinkSync(object);
  await assert.rejects(verifyLayerStream(repository, diffId, stream), NotFoundError);
});

test('every descriptor is closed, also when verification fails or is called off', async (t) => {
  const { path, repository, diffId, stream, objects } = await storeLayer(t);
  await verifyLayerStream(repository, diffId, stream);
  const before = readdirSync('/proc/self/fd').length;
  await assert.rejects(verifyLayerStream(repository, diffId, stream, { signal: AbortSignal.abort() }), {
    name: 'AbortError',
  });
  unlinkSync(join(path, 'objects', objectPath(objects[299] as ObjectId)));
  await assert.rejects(verifyLayerStream(repository, diffId, stream), NotFoundError);
  assert.equal(readdirSync('/proc/self/fd').length, before);
});

test('a verified stream is remembered until another takes its place', async (t) => {
  const { repository, diffId, stream } = await storeLayer(t);
  assert.equal(isVerified(repository, diffId, stream), false);
  markVerified(repository, diffId, stream);
  assert.equal(isVerified(repository, diffId, stream), true);
  assert.equal(isVerified(repository, diffId, 'ab'.repeat(32)), false);
  markVerified(repository, diffId, 'ab'.repeat(32));
  assert.equal(isVerified(repository, diffId, stream), false);
});

test('only layers are taken for layers', async (t) => {
  const { repository, diffId } = await storeLayer(t);
  const config = await repository.objects.put(await new SplitstreamWriter(CONTENT_TYPES.config, 'sha256').finish());
  await assert.rejects(verifyLayerStream(repository, diffId, config), FormatError);
});
