import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { Store } from '../../src/storage/store.js';
import { hashTar } from '../support/layers/hash-tar.js';
import {
  smallFile,
  smallIndex,
  smallResults,
  unpackSmallStore,
  type SmallStore,
} from '../support/images/small-store.js';

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
    assert.deepEqual(
      layers.map(({ id }) => id),
      results.store_layer_chain,
    );
    assert.deepEqual(
      layers.map(({ diffId }) => diffId),
      results.diff_ids,
    );
    assert.deepEqual(
      layers.map(({ size }) => size),
      results.layers.map((layer) => layer.tar_size),
    );
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

function openDescriptors(): number {
  return readdirSync('/proc/self/fd').length;
}
