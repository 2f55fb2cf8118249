import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { DigestMismatchError } from '../../src/errors.js';
import { connect } from '../../src/fd/fd-passing.js';
import type { LayerStream } from '../../src/layer/stream.js';
import { pullImage } from '../../src/oci/pull/pull.js';
import type { PullResult } from '../../src/oci/pull/types.js';
import { openSocketImage } from '../../src/oci/source/socket.js';
import { listSplitfdstreamImages } from '../../src/oci/source/splitfdstream.js';
import { initRepository } from '../../src/repository/init.js';
import { Repository } from '../../src/repository/repository.js';
import { JsonRpcConnection } from '../../src/rpc/jsonrpc/connection.js';
import { BridgeError } from '../../src/errors.js';
import { METHOD_NOT_FOUND, RemoteError, SERVER_ERROR } from '../../src/rpc/rpc-error.js';
import { getFeatures } from '../../src/rpc/jsonrpc/client.js';
import { Store } from '../../src/storage/store.js';
import { cfsbridge } from '../support/cli/run-cli.js';
import { openFds } from '../support/open-fds.js';
import { buildPeer, start } from '../peers/peers.js';
import { prepareImage, sha256, singleLayerImage } from '../peers/prepared-image.js';
import {
  smallFile,
  smallIndex,
  smallResults,
  unpackSmallStore,
  type SmallImage,
} from '../support/images/small-store.js';

const cfsctl = join(process.env['CFSBRIDGE_PEERS'] ?? '/var/tmp/peers', 'bin/cfsctl');

for (const language of ['go', 'rust'] as const) {
  const peer = buildPeer(`jsonrpc-${language}`);
  const program = 'program' in peer ? peer.program : '';

  describe(`our client with a ${language} server of the first protocol`, {
    skip: 'missing' in peer && peer.missing,
  }, () => {
    let folder: string;
    before(() => {
      folder = mkdtempSync(join(tmpdir(), 'cfsbridge-peer-'));
      for (const count of [701, 2000])
        prepareImage(
          join(folder, `files-${count}`),
          singleLayerImage(tarOfFiles(join(folder, `tree-${count}`), count)),
        );
    });
    after(() => rmSync(folder, { recursive: true }));

    /** Serves a prepared folder while `use` runs. */
    async function serving<T>(
      name: string,
      args: { batch?: number; openFiles?: number },
      use: (socket: string) => Promise<T>,
    ): Promise<T> {
      const socket = join(folder, `${name}.socket`);
      rmSync(socket, { force: true });
      await using _ = await start(
        [program, 'serve', socket, join(folder, name), ...(args.batch ? [`${args.batch}`] : [])],
        args.openFiles ?? 4096,
      );
      return await use(socket);
    }

    function emptyRepository(name: string): string {
      const path = join(folder, `${name}.repository`);
      rmSync(path, { recursive: true, force: true });
      initRepository(path, { insecure: true });
      return path;
    }

    async function pull(socket: string, path: string): Promise<PullResult> {
      using repository = await Repository.open(path, { write: true });
      await using source = await openSocketImage(socket, 'any');
      return await pullImage(repository, source, { name: 'pulled' });
    }

    for (const dir of ['alpha_v1', 'alpha_v3', 'delta_one', 'gamma_emptylayer'])
      test(`${dir}: the image and the config that cfsctl makes of it`, async () => {
        const image = Object.values(smallIndex()).find((other) => other.dir === dir) as SmallImage;
        await prepareSmallImage(join(folder, dir), image);
        const result = await serving(dir, {}, (socket) => pull(socket, emptyRepository(dir)));
        const recorded = (JSON.parse(smallFile(image, 'results.json').toString()) as Recorded).results.sha512
          .erofs_versions['1'];
        assert.deepEqual([...result.images], [[1, recorded.images[0]]]);
        assert.equal(result.configStream, recorded.config_stream);
      });

    for (const [count, batch] of [
      [701, 7],
      [701, undefined],
      [2000, undefined],
      [2000, 250],
    ] as const)
      test(`${count} files, ${batch ?? 'as many descriptors as fit'} at a time`, async () => {
        const openBefore = openFds().size;
        const path = emptyRepository('files');
        const result = await serving(`files-${count}`, batch ? { batch } : {}, (socket) => pull(socket, path));
        assert.deepEqual(
          result.layers.map(({ actual, diffId }) => actual === diffId),
          [true],
        );
        assert.equal(result.layers[0]?.stats?.files, count);
        assert.equal(openFds().size, openBefore);
        if (existsSync(cfsctl))
          assert.match(
            execFileSync(cfsctl, ['--insecure', '--repo', path, 'fsck'], { encoding: 'utf8' }),
            /status: ok/,
          );
      });

    test('a server without extensions has no features, and cannot list images', async () => {
      await serving('files-701', {}, async (socket) => {
        using rpc = new JsonRpcConnection(await connect(socket));
        assert.deepEqual(await getFeatures(rpc), new Set());
        rpc.close();
        await assert.rejects(
          listSplitfdstreamImages(socket),
          (error) =>
            error instanceof RemoteError && error.rpcCode === METHOD_NOT_FOUND && /ListImages/.test(error.message),
        );
      });
    });

    test('a layer that the server does not have', async () => {
      const image = join(folder, 'missing');
      mkdirSync(image);
      copyFileSync(join(folder, 'files-701/image.json'), join(image, 'image.json'));
      await serving('missing', {}, async (socket) => {
        await assert.rejects(pull(socket, emptyRepository('missing')), refusal(/GetSplitFDStream.*[Nn]o such file/));
      });
    });

    test('a server at its limit of open files', async () => {
      await serving('files-701', { openFiles: 256 }, async (socket) => {
        await assert.rejects(
          pull(socket, emptyRepository('limited')),
          refusal(/GetSplitFDStream.*[Tt]oo many open files/),
        );
      });
    });

    test('a client at its limit of open files: an error that says so, and no tag', async () => {
      await serving('files-701', {}, async (socket) => {
        const path = emptyRepository('limited');
        const command = ['--nofile=300:300', cfsbridge, '--repo', path, 'oci', 'pull', '--socket', socket, 'any'];
        const { status, stderr } = spawnSync('prlimit', command, { encoding: 'utf8', timeout: 30_000 });
        assert.equal(status, 1);
        assert.match(stderr, /open files/);
        assert.equal(
          spawnSync(cfsbridge, ['--repo', path, 'oci', 'images', '--json'], { encoding: 'utf8' }).stdout.includes(
            'any',
          ),
          false,
        );
      });
    });

    test("a file that is not the layer's", async () => {
      prepareImage(join(folder, 'changed'), singleLayerImage(tarOfFiles(join(folder, 'tree-3'), 3)));
      writeFileSync(join(folder, 'changed', 'f'.repeat(64), 'files/00001'), 'file Z of 3\n'.repeat(20));
      await serving('changed', {}, async (socket) => {
        await assert.rejects(pull(socket, emptyRepository('changed')), DigestMismatchError);
      });
    });
  });
}

interface Recorded {
  results: { sha512: { erofs_versions: { 1: { images: string[]; config_stream: string } } } };
}

/** A tar of files too large to be stored inline, made by tar(1), with two end blocks. */
function tarOfFiles(folder: string, count: number): Buffer {
  mkdirSync(folder);
  for (let index = 0; index < count; index++)
    writeFileSync(join(folder, `${index}`), `file ${index} of ${count}\n`.repeat(20));
  return execFileSync(
    'tar',
    ['--format=ustar', '--sort=name', '--blocking-factor=1', '--mtime=@0', '-C', folder, '-c', '.'],
    { maxBuffer: 64 << 20 },
  );
}

async function prepareSmallImage(folder: string, image: SmallImage): Promise<void> {
  const unpacked = unpackSmallStore();
  try {
    using store = Store.open({ graphroot: unpacked.graphroot });
    const layers = [];
    for (const layer of await store.layers(await store.image(image.names[0] as string))) {
      await using stream = await store.layerStream(layer);
      layers.push({ id: layer.id, tar: await tarOf(stream) });
    }
    assert.deepEqual(
      layers.map(({ tar }) => sha256(tar)),
      smallResults(image).diff_ids,
    );
    prepareImage(folder, {
      manifest: smallFile(image, 'manifest.json').toString(),
      config: smallFile(image, 'config.json').toString(),
      layers,
    });
  } finally {
    unpacked.remove();
  }
}

async function tarOf(stream: LayerStream): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const batch of stream)
    for (const chunk of batch) {
      if (chunk.kind === 'bytes') parts.push(Buffer.from(chunk.bytes));
      else if (chunk.kind === 'named')
        parts.push(readFileSync(Buffer.from(`/proc/self/fd/${chunk.dir.number}/${chunk.name}`, 'latin1')));
      else assert.fail('a stored layer names its files');
    }
  return Buffer.concat(parts);
}

/** The error of a pull that the server's refusal of a layer ended: it names the layer and keeps the refusal. */
function refusal(text: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof BridgeError && error.place.layer !== undefined && text.test(error.message));
    assert.ok(error.cause instanceof RemoteError && error.cause.rpcCode === SERVER_ERROR);
    return true;
  };
}
