import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { closeSync, constants, openSync, readdirSync, readSync } from 'node:fs';
import { after, before, test } from 'node:test';
import type { LayerStream } from '../../src/layer/stream.js';
import { Store } from '../../src/storage/store.js';
import { smallFile, smallIndex, smallResults, unpackSmallStore, type SmallStore } from '../support/small-store.js';

let small: SmallStore;
let store: Store;

before(() => {
  small = unpackSmallStore();
  store = Store.open({ graphroot: small.graphroot });
});

after(() => {
  store[Symbol.dispose]();
  small.remove();
});

for (const [name, expected] of Object.entries(smallIndex())) {
  const results = smallResults(expected);

  test(`${name}: manifest, config and layers are the recorded ones`, async () => {
    const image = await store.image(`localhost/${name}`);
    assert.equal(image.id, expected.image_id);
    assert.deepEqual([...image.names].sort(), [...expected.names].sort());
    assert.equal(image.manifestDigest, expected.manifest_digest);
    assert.equal(image.mediaType, results.manifest_media_type);
    assert.equal(image.configDescriptor.digest, results.config_digest);
    assert.deepEqual(image.manifest(), smallFile(expected, 'manifest.json'));
    assert.deepEqual(image.config(), smallFile(expected, 'config.json'));
    const layers = await store.layers(image);
    assert.deepEqual(layers.map(({ id }) => id), results.store_layer_chain);
    assert.deepEqual(layers.map(({ diffId }) => diffId), results.diff_ids);
    assert.deepEqual(layers.map(({ size }) => size), results.layers.map((layer) => layer.tar_size));
  });

  test(`${name}: every layer's tar comes out byte for byte`, async () => {
    const image = await store.image(expected.image_id);
    for (const layer of await store.layers(image)) {
      await using stream = await store.layerStream(layer);
      assert.equal(await hashTar(stream), layer.diffId, layer.id);
    }
  });
}

test('reading every layer leaves no descriptor open', async () => {
  const before = openDescriptors();
  for (const image of await store.images()) {
    for (const layer of await store.layers(image)) {
      await using stream = await store.layerStream(layer);
      for await (const batch of stream) if (batch.length > 0) break;
    }
    for (const layer of await store.layers(image)) {
      const unread = await store.layerStream(layer, { lease: 'descriptors' });
      await unread[Symbol.asyncDispose]();
    }
  }
  assert.equal(openDescriptors(), before);
});

async function hashTar(stream: LayerStream): Promise<string> {
  const hash = createHash('sha256');
  for await (const batch of stream) {
    for (const chunk of batch) {
      if (chunk.kind === 'bytes') hash.update(chunk.bytes);
      else if (chunk.kind === 'named') hashFile(hash, `/proc/self/fd/${chunk.dir.number}/`, chunk.name, chunk.size);
    }
  }
  return `sha256:${hash.digest('hex')}`;
}

function hashFile(hash: ReturnType<typeof createHash>, dir: string, name: string, size: number): void {
  const fd = openSync(Buffer.from(dir + name, 'latin1'), constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    const buffer = Buffer.alloc(1 << 20);
    for (let left = size; left > 0; ) {
      const count = readSync(fd, buffer, 0, Math.min(left, buffer.length), null);
      assert.ok(count > 0, `${name} is shorter than ${size} bytes`);
      hash.update(buffer.subarray(0, count));
      left -= count;
    }
  } finally {
    closeSync(fd);
  }
}

function openDescriptors(): number {
  return readdirSync('/proc/self/fd').length;
}
