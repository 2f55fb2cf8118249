import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { connect, listen } from '../../src/fd/fd-passing.js';
import { pullImage } from '../../src/oci/pull/pull.js';
import { listSplitfdstreamImages, openSplitfdstreamImage } from '../../src/oci/source/splitfdstream.js';
import { openStorageImage } from '../../src/oci/source/storage.js';
import { initRepository } from '../../src/repository/init.js';
import { Repository } from '../../src/repository/repository.js';
import { JsonRpcConnection } from '../../src/rpc/jsonrpc/connection.js';
import { INVALID_PARAMS, RemoteError } from '../../src/rpc/rpc-error.js';
import { methods } from '../../src/rpc/contracts/splitfdstream.js';
import { serveRepositoryImages } from '../../src/service/serve.js';
import { serveListener } from '../../src/service/serve-listener.js';
import { cfsbridge } from '../support/cli/run-cli.js';
import { fastFolder } from '../support/fast-folder.js';
import { smallIndex, unpackSmallStore } from '../support/images/small-store.js';

let folder: string;
let repository: Repository;
const stop = new AbortController();
let served: Promise<void>;
const socket = (): string => join(folder, 'socket');

before(async () => {
  folder = mkdtempSync(join(fastFolder, 'repository-images-'));
  const store = unpackSmallStore(folder);
  repository = await openNew('served');
  for (const { dir, names } of Object.values(smallIndex())) {
    await using source = await openStorageImage(names[0] as string, { graphroot: store.graphroot });
    await pullImage(repository, source, { name: dir });
  }
  served = serveListener(
    await listen(socket()),
    (connection, signal, share) => serveRepositoryImages(repository, connection, { signal, share }),
    { signal: stop.signal },
  );
});
after(async () => {
  stop.abort();
  await served;
  repository[Symbol.dispose]();
  rmSync(folder, { recursive: true });
});

async function openNew(name: string): Promise<Repository> {
  initRepository(join(folder, name), { insecure: true });
  return await Repository.open(join(folder, name), { write: true });
}

for (const { dir, manifest_digest: digest } of Object.values(smallIndex()))
  test(`${dir}: the same image, by tag and by digest`, async () => {
    using there = await openNew(`there-${dir}`);
    const results = [];
    for (const reference of [dir, `@${digest}`]) {
      await using source = await openSplitfdstreamImage(socket(), reference);
      results.push(await pullImage(there, source, { name: dir }));
    }
    await using direct = await openSplitfdstreamImage(socket(), dir);
    const again = await pullImage(repository, direct);
    for (const result of results) {
      assert.equal(result.manifestDigest, digest);
      assert.deepEqual([...result.images], [...again.images]);
    }
  });

test('the list has every image once, with its tags', async () => {
  const images = await listSplitfdstreamImages(socket());
  assert.deepEqual(
    images.flatMap(({ names }) => names).sort(),
    Object.values(smallIndex())
      .map(({ dir }) => dir)
      .sort(),
  );
  assert.ok(images.every(({ id, digest }) => id === `@${digest}`));
});

test('images and layers that are not there', async () => {
  await assert.rejects(
    openSplitfdstreamImage(socket(), 'none'),
    (error) => error instanceof RemoteError && /none/.test(error.message),
  );
  using rpc = new JsonRpcConnection(await connect(socket()));
  for (const layerId of ['', '../x', `sha256:${'0'.repeat(64)}`])
    await assert.rejects(
      rpc.call(methods.GetSplitFDStream, { layerId }),
      (error) => error instanceof RemoteError && error.rpcCode === INVALID_PARAMS,
    );
});

test('a varlink client is turned away without a word', async () => {
  using connection = await connect(socket());
  await connection.send(Buffer.from('{"method":"org.varlink.service.GetInfo"}\0'));
  assert.equal(await connection.receive(), undefined);
});

test('garbage collection waits for the clients of the command, and not for the command', async () => {
  const path = join(folder, 'command');
  {
    using there = await openNew('command');
    await using source = await openSplitfdstreamImage(socket(), Object.values(smallIndex())[0]!.dir);
    await pullImage(there, source, { name: 'it' });
  }
  const server = spawn(cfsbridge, ['--repo', path, 'serve', '--repository', '--socket', `${path}.sock`], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const exited = once(server, 'exit');
  try {
    await once(server.stderr, 'data');
    {
      await using source = await openSplitfdstreamImage(`${path}.sock`, 'it');
      assert.equal(await collects(path, 300), false);
      assert.ok(source.layers.length > 0);
    }
    assert.equal(await collects(path, 10_000), true);
  } finally {
    server.kill();
    await exited;
  }
});

/** Whether a garbage collection gets its turn within `limit` milliseconds. */
async function collects(path: string, limit: number): Promise<boolean> {
  using collector = await Repository.open(path, { write: true });
  const signal = AbortSignal.timeout(limit);
  return await collector.lockExclusive({ signal }).then(
    () => true,
    (error) => {
      if (signal.aborted) return false;
      throw error;
    },
  );
}
