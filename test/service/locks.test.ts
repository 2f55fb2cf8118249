// While a layer is read nobody may remove it; once it is not, writers must not wait a moment longer.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { LayerStream } from '../../src/layer/stream.js';
import { openSplitfdstreamImage } from '../../src/oci/source/splitfdstream.js';
import { openStorageImage } from '../../src/oci/source/storage.js';
import type { ImageSource } from '../../src/oci/source/source.js';
import { Store } from '../../src/storage/store.js';
import { serving } from '../support/servers/serving.js';
import { fastFolder } from '../support/fast-folder.js';
import { makeStore, type MadeEntry } from '../support/images/made-store.js';
import { eventuallyFree, waitingWriter, writerFinds } from '../support/lock-probe.js';

const IMAGE = 'localhost/locked:1';
/** More names than a pipe holds, so that the server is in the middle of the layer while the client does not read. */
const entries: MadeEntry[] = Array.from({ length: 400 }, (_, i) => ({
  name: `usr/file${i}`,
  content: Buffer.from(`content ${i}`),
}));

let graphroot: string;
let folder: string;

before(() => {
  folder = mkdtempSync(join(fastFolder, 'locks-'));
  graphroot = join(folder, 'store');
  makeStore(graphroot, [{ name: IMAGE, layers: [{ entries }] }]);
});

after(() => rmSync(folder, { recursive: true }));

async function firstBatch(layer: LayerStream): Promise<AsyncIterator<unknown>> {
  const batches = layer[Symbol.asyncIterator]();
  assert.equal((await batches.next()).done, false);
  return batches;
}

async function keepsWritersOut(source: ImageSource): Promise<void> {
  const layer = await source.layers[0]!.open();
  await firstBatch(layer);
  assert.equal(writerFinds(graphroot), 'busy');
  const writer = await waitingWriter(graphroot);
  assert.equal(writer.child.exitCode, null);
  await layer[Symbol.asyncDispose]();
  await writer.got;
  assert.equal(writer.child.exitCode, 0);
}

test('a layer of the store, until it is disposed', async () => {
  await using source = await openStorageImage(IMAGE, { graphroot });
  assert.equal(writerFinds(graphroot), 'free');
  await keepsWritersOut(source);
});

test('a layer of the store whose reading is aborted', async () => {
  await using source = await openStorageImage(IMAGE, { graphroot });
  const controller = new AbortController();
  {
    await using layer = await source.layers[0]!.open({ signal: controller.signal });
    controller.abort(new Error('enough'));
    await assert.rejects(firstBatch(layer), /enough/);
  }
  assert.equal(writerFinds(graphroot), 'free');
});

test('a layer over a socket, until its lease is closed', async () => {
  using store = Store.open({ graphroot });
  await using server = await serving(store, folder);
  await using source = await openSplitfdstreamImage(server.path, IMAGE);
  await keepsWritersOut(source);
  assert.equal(writerFinds(graphroot), 'free');
});

test('a layer over a socket whose client hangs up without closing the lease', async () => {
  using store = Store.open({ graphroot });
  await using server = await serving(store, folder);
  const source = await openSplitfdstreamImage(server.path, IMAGE);
  await using layer = await source.layers[0]!.open();
  await firstBatch(layer);
  assert.equal(writerFinds(graphroot), 'busy');
  await source[Symbol.asyncDispose]();
  await eventuallyFree(graphroot);
});

test('layers that are served when the service ends', async () => {
  using store = Store.open({ graphroot });
  const server = await serving(store, folder);
  await using source = await openSplitfdstreamImage(server.path, IMAGE);
  await using layer = await source.layers[0]!.open();
  await firstBatch(layer);
  await server[Symbol.asyncDispose]();
  assert.equal(writerFinds(graphroot), 'free');
});

test('descriptors of files keep their content, so nothing stays locked', async () => {
  using store = Store.open({ graphroot });
  await using server = await serving(store, folder, 'exact');
  await using source = await openSplitfdstreamImage(server.path, IMAGE);
  await using layer = await source.layers[0]!.open();
  await firstBatch(layer);
  assert.equal(writerFinds(graphroot), 'free');
});
