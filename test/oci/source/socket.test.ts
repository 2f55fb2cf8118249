// The pull finds out by itself what a server speaks.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, cpSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { listen } from '../../../src/fd/fd-passing.js';
import { copyFrom } from '../../../src/oci/push/copy.js';
import { pullImage } from '../../../src/oci/pull/pull.js';
import { copyTo } from '../../../src/oci/push/remote.js';
import { RemoteRepository } from '../../../src/oci/remote/remote-repository.js';
import { LayerServer } from '../../../src/oci/remote/layer-server.js';
import { layerContentId } from '../../../src/repository/names.js';
import { openRepositoryImage } from '../../../src/oci/source/repository.js';
import { openSocketImage } from '../../../src/oci/source/socket.js';
import { openStorageImage } from '../../../src/oci/source/storage.js';
import { initRepository } from '../../../src/repository/init.js';
import { DIGEST_SIZE, objectPath } from '../../../src/fsverity/object-id.js';
import { Repository } from '../../../src/repository/repository.js';
import { serveVarlinkRepositories } from '../../../src/service/varlink/serve.js';
import { Store } from '../../../src/storage/store.js';
import { withoutLeak } from '../../support/open-fds.js';
import { fastFolder } from '../../support/fast-folder.js';
import { hashTar } from '../../support/layers/hash-tar.js';
import { unpackSmallStore, type SmallStore } from '../../support/images/small-store.js';
import { serving, type Form } from '../../support/servers/serving.js';

const IMAGE = 'localhost/alpha:v3';

let folder: string;
let small: SmallStore;
let expected: [unknown, unknown];

before(async () => {
  folder = mkdtempSync(join(fastFolder, 'socket-'));
  small = unpackSmallStore(folder);
  using repository = await openNew('direct');
  await using source = await openStorageImage(IMAGE, { graphroot: small.graphroot });
  const { images, manifestDigest } = await pullImage(repository, source, { name: 'alpha' });
  expected = [manifestDigest, [...images]];
});
after(() => rmSync(folder, { recursive: true }));

async function openNew(name: string): Promise<Repository> {
  initRepository(join(folder, name), { insecure: true });
  return await Repository.open(join(folder, name), { write: true });
}

/** Repositories over varlink, until disposed. */
async function servingRepositories(): Promise<AsyncDisposable & { path: string }> {
  const path = join(folder, 'varlink.sock');
  const stop = new AbortController();
  const served = serveVarlinkRepositories(await listen(path), { signal: stop.signal });
  return {
    path,
    [Symbol.asyncDispose]: async () => {
      stop.abort();
      await served;
    },
  };
}

for (const form of ['directory', 'exact', 'legacy'] as Form[])
  test(`splitfdstream over JSON-RPC, ${form}`, async () => {
    using store = Store.open({ graphroot: small.graphroot });
    await using server = await serving(store, folder, form);
    using repository = await openNew(form);
    for (const reference of [IMAGE, `containers-storage:${IMAGE}`]) {
      await using source = await openSocketImage(server.path, reference);
      const { images, manifestDigest } = await pullImage(repository, source);
      assert.deepEqual([manifestDigest, [...images]], expected);
    }
    await assert.rejects(openSocketImage(server.path, IMAGE, { repository: folder }), { code: 'WHICH_REPOSITORY' });
  });

test('repositories over varlink, from there and back', async () => {
  await using server = await servingRepositories();
  await withoutLeak(async () => {
    using repository = await openNew('from-varlink');
    await using source = await openSocketImage(server.path, 'alpha', { repository: join(folder, 'direct') });
    const { images, manifestDigest } = await copyFrom(source, repository, { name: 'alpha' });
    assert.deepEqual([manifestDigest, [...images]], expected);
    (await openNew('to-varlink'))[Symbol.dispose]();
    await using remote = await RemoteRepository.connect(server.path, join(folder, 'to-varlink'));
    const reply = await copyTo(repository, 'alpha', remote, { name: 'pushed' });
    assert.equal(reply.manifestDigest, manifestDigest);
  });
  await assert.rejects(openSocketImage(server.path, 'alpha'), { code: 'WHICH_REPOSITORY' });
  await using pushed = await openSocketImage(server.path, 'pushed', { repository: join(folder, 'to-varlink') });
  assert.equal(pushed.layers.length, 3);
});

test('a layer that could not be sent is not reported as sent', async () => {
  await using server = await servingRepositories();
  cpSync(join(folder, 'direct'), join(folder, 'damaged'), { recursive: true, verbatimSymlinks: true });
  using repository = await Repository.open(join(folder, 'damaged'));
  {
    await using image = await openRepositoryImage(repository, 'alpha');
    using stream = repository.openStream(repository.streamObject(layerContentId(image.layers[0]!.diffId))!);
    appendFileSync(
      join(folder, 'damaged', 'objects', objectPath(stream.objects.bytes.toString('hex', 0, DIGEST_SIZE.sha512))),
      '.',
    );
  }
  (await openNew('to-damaged'))[Symbol.dispose]();
  await using remote = await RemoteRepository.connect(server.path, join(folder, 'to-damaged'));
  const sent: string[] = [];
  await assert.rejects(
    copyTo(repository, 'alpha', remote, { onLayer: (diffId) => void sent.push(diffId) }),
    /^BridgeError: sending a layer failed: .* \(layer /,
  );
  assert.deepEqual(sent, []);
});

test('the layers of a store are the same over varlink', async () => {
  using store = Store.open({ graphroot: small.graphroot });
  await using server = await serving(store, folder);
  using remote = await LayerServer.connect(server.path, { silenceLimit: 5000 });
  assert.ok(remote?.isContainersStorage && remote.knowsImagesInJsonRpc);
  for (const { id, diffId } of await store.layers(await store.image(IMAGE))) {
    await using layer = await remote.layer(
      0,
      { storage: { storage_path: small.graphroot, layer_id: id } },
      new AbortController().signal,
    );
    assert.equal(await hashTar(layer), diffId);
  }
});

test('sockets that lead nowhere', async () => {
  const left = join(folder, 'left');
  const child = spawn(process.execPath, [
    '-e',
    `require('net').createServer().listen(${JSON.stringify(left)}, () => process.kill(process.pid, 'SIGKILL'))`,
  ]);
  await once(child, 'exit');
  const none = join(folder, 'none');
  await assert.rejects(openSocketImage(none, IMAGE), { code: 'ENOENT', message: `there is no socket at ${none}` });
  await assert.rejects(openSocketImage(left, IMAGE), { code: 'ECONNREFUSED', message: `nobody listens on ${left}` });
});
