// A store on one socket for both protocols, and its layers over varlink.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { connect, fromFd, listen, socketpair, type Fd } from '../../../src/fd/fd-passing.js';
import { sourceFromFd } from '../../../src/fd/byte-source.js';
import { readChunk } from '../../../src/layer/content.js';
import { decodeSplitdirfdstream } from '../../../src/layer/splitdirfdstream-decoder.js';
import type { LayerStream } from '../../../src/layer/stream.js';
import { openSplitfdstreamImage } from '../../../src/oci/source/splitfdstream.js';
import { JsonRpcConnection } from '../../../src/rpc/jsonrpc/connection.js';
import { methods as jsonMethods } from '../../../src/rpc/contracts/splitfdstream.js';
import { VarlinkConnection } from '../../../src/rpc/varlink/client.js';
import { VarlinkInterface } from '../../../src/rpc/varlink/interface.js';
import { VarlinkRemoteError } from '../../../src/rpc/varlink/varlink-error.js';
import { serveStore } from '../../../src/service/serve.js';
import { serveStoreLayers } from '../../../src/service/varlink/store-service.js';
import { Shares } from '../../../src/service/shares.js';
import { Store } from '../../../src/storage/store.js';
import { withoutLeak } from '../../support/open-fds.js';
import { closeAll } from '../../support/servers/replay.js';
import { fastFolder } from '../../support/fast-folder.js';
import { diffIdOf, makeStore, type MadeEntry } from '../../support/images/made-store.js';
import { eventuallyFree, writerFinds } from '../../support/lock-probe.js';

const IMAGE = 'localhost/layers:1';
const entries = (layer: string, length = 200): MadeEntry[] =>
  Array.from({ length }, (_, i) => ({ name: `usr/${layer}${i}`, content: Buffer.alloc(100, `${layer} ${i} `) }));
const made = [entries('a'), entries('b')];
const diffIds = made.map(diffIdOf);

const oci = VarlinkInterface.fromProto('containers-storage/org.composefs.Oci.varlink');
const GetLayer = oci.method<{ handle: number; params: object }, { dir_count: number }>('GetLayer');
const GetInfo = oci.method<object, { features: string[] }>('GetInfo');

let folder: string;
let graphroot: string;
let store: Store;
let socket: string;
const stop = new AbortController();
let served: Promise<void>;

before(async () => {
  folder = mkdtempSync(join(fastFolder, 'layers-'));
  graphroot = join(folder, 'store');
  makeStore(graphroot, [{ name: IMAGE, layers: made.map((layer) => ({ entries: layer })) }]);
  for (const [index, id] of layerIds().entries()) {
    for (const [number, { name }] of made[index]!.entries())
      if (number % 3 === 0) chmodSync(join(graphroot, 'overlay', id, 'diff', name), 0o600);
  }
  store = Store.open({ graphroot });
  socket = join(folder, 'socket');
  served = serveStore(store, await listen(socket), { signal: stop.signal, image: await store.image(IMAGE) });
});

after(async () => {
  stop.abort();
  await served;
  store[Symbol.dispose]();
  rmSync(folder, { recursive: true });
});

/** The digest of the tar, and how many of its files came by name. */
async function digestOf(layer: LayerStream): Promise<[digest: string, named: number]> {
  const hash = createHash('sha256');
  let byName = 0;
  for await (const chunks of layer)
    for (const chunk of chunks) {
      if (chunk.kind === 'bytes') {
        hash.update(chunk.bytes);
        continue;
      }
      byName++;
      for await (const bytes of readChunk(chunk)) hash.update(bytes);
    }
  return [`sha256:${hash.digest('hex')}`, byName];
}

async function layerOver(client: VarlinkConnection, params: object): Promise<{ layer: LayerStream; lifetime: Fd }> {
  const { parameters, fds } = await client.call(GetLayer, { handle: 0, params });
  assert.deepEqual([parameters.dir_count, fds.length], [1, 3]);
  return { layer: decodeSplitdirfdstream(sourceFromFd(fds[0]!), [fds[1]!]), lifetime: fds[2]! };
}

const locators: [name: string, of: (index: number) => object][] = [
  ['by number', (index) => ({ layer_index: index })],
  ['by diff_id', (index) => ({ diff_id: diffIds[index] })],
  ['by id in the store', (index) => ({ storage: { storage_path: `${graphroot}/.`, layer_id: layerIds()[index] } })],
];

function layerIds(): string[] {
  const layers = JSON.parse(readFileSync(join(graphroot, 'overlay-layers/layers.json'), 'utf8')) as {
    id: string;
    'diff-digest': string;
  }[];
  return diffIds.map((diffId) => layers.find((layer) => layer['diff-digest'] === diffId)!.id);
}

for (const [name, of] of locators)
  for (const capable of [true, false, undefined])
    test(`layers ${name}, byte for byte, to a client that ${capable ? 'may open everything' : 'may not'}${capable === undefined ? ' and does not say so' : ''}`, async () => {
      await withoutLeak(async () => {
        using client = new VarlinkConnection(await connect(socket));
        for (const [index, diffId] of diffIds.entries()) {
          const { layer, lifetime } = await layerOver(client, {
            ...of(index),
            ...(capable === undefined ? {} : { consumer_has_cap_dac_override: capable }),
          });
          assert.deepEqual(await digestOf(layer), [diffId, capable ? 200 : 133]);
          await layer[Symbol.asyncDispose]();
          lifetime.close();
        }
        client.close();
        await eventuallyFree(graphroot);
      });
    });

test('both protocols on one socket give the same tar', async () => {
  using varlink = new VarlinkConnection(await connect(socket));
  assert.deepEqual((await varlink.call(GetInfo, {})).parameters.features, [
    'splitdirfdstream-v0',
    'source-containers-storage',
    'read-only',
  ]);
  await using jsonRpc = await openSplitfdstreamImage(socket, IMAGE);
  for (const [index, source] of jsonRpc.layers.entries()) {
    await using one = await source.open({ signal: stop.signal });
    const { layer, lifetime } = await layerOver(varlink, { layer_index: index, consumer_has_cap_dac_override: true });
    assert.deepEqual(await digestOf(one), await digestOf(layer));
    await layer[Symbol.asyncDispose]();
    lifetime.close();
  }
});

const beginnings: [name: string, pieces: string[], answer: RegExp][] = [
  ['varlink in one piece', ['{"method":"org.varlink.service.GetInfo"}\0'], /^\{"parameters":\{"vendor".*\0$/],
  ['varlink byte by byte', [...'{"method":"org.varlink.service.GetInfo"}\0'], /^\{"parameters":\{"vendor".*\0$/],
  [
    'varlink with its NUL byte later',
    ['{"method":"org.varlink.service.GetInfo"}', '\0'],
    /^\{"parameters":\{"vendor".*\0$/,
  ],
  [
    'two varlink calls',
    ['{"method":"org.composefs.Oci.GetInfo"}\0{"method":"org.composefs.Oci.GetInfo"}\0'],
    /^(\{"parameters":\{"features".*\0){2}$/,
  ],
  ['JSON-RPC', ['{"jsonrpc":"2.0","id":1,"method":"GetInfo","params":{}}'], /^\{"jsonrpc":"2.0","id":1,"result".*\}$/],
  [
    'JSON-RPC after white space, in pieces',
    [' \n', '{"jsonrpc":"2.0","id":1,"method":"Get', 'Info","params":{}}'],
    /^\{"jsonrpc":"2.0","id":1,"result".*\}$/,
  ],
  ['neither', ['hello\0'], /^$/],
  ['nothing', [], /^$/],
];

for (const [name, pieces, answer] of beginnings) {
  test(`a connection that begins with ${name}`, async () => {
    await withoutLeak(async () => {
      using connection = await connect(socket);
      for (const piece of pieces) {
        await connection.send(Buffer.from(piece)).catch(() => {});
        if (pieces.length < 10) await new Promise((resolve) => setTimeout(resolve, 10));
      }
      await connection.shutdown();
      let text = '';
      try {
        for await (const { bytes } of connection) text += bytes.toString();
      } catch {
        // the server hung up with bytes unread
      }
      assert.match(text, answer);
    });
  });
}

const refused: [name: string, params: object, error: string, parameters?: object][] = [
  ['a number out of range', { layer_index: 2 }, 'org.composefs.Oci.NoSuchLayerIndex', { layer_index: 2 }],
  ['a number below the base', { layer_index: -1 }, 'org.composefs.Oci.NoSuchLayerIndex', { layer_index: -1 }],
  [
    'a number that is none',
    { layer_index: '0' },
    'org.varlink.service.InvalidParameter',
    { parameter: 'params.layer_index' },
  ],
  ['no layer', {}, 'org.composefs.Oci.InvalidRequest'],
  ['an unknown diff_id', { diff_id: 'sha256:x' }, 'org.composefs.Oci.NoSuchLayer', { diff_id: 'sha256:x' }],
  ['another store', { storage: { storage_path: '/', layer_id: 'x' } }, 'org.composefs.Oci.InvalidRequest'],
  [
    'an unknown layer of the store',
    { storage: { storage_path: '.', layer_id: '../../x' } },
    'org.composefs.Oci.NoSuchLayer',
    { diff_id: '../../x' },
  ],
];

for (const [name, params, error, parameters] of refused) {
  test(`refused: ${name}`, async () => {
    using client = new VarlinkConnection(await connect(socket));
    const asked =
      'storage' in params && name.includes('unknown')
        ? { storage: { storage_path: graphroot, layer_id: '../../x' } }
        : params;
    await assert.rejects(client.call(GetLayer, { handle: 0, params: asked }), (thrown) => {
      assert.ok(thrown instanceof VarlinkRemoteError, String(thrown));
      assert.equal(thrown.error, error);
      if (parameters) assert.deepEqual(thrown.parameters, parameters);
      return true;
    });
  });
}

test('the layer stays locked until the lifetime descriptor is closed, also when the connection is', async () => {
  const client = new VarlinkConnection(await connect(socket));
  const { layer, lifetime } = await layerOver(client, { layer_index: 0, consumer_has_cap_dac_override: true });
  assert.equal(writerFinds(graphroot), 'busy');
  client.close();
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal(writerFinds(graphroot), 'busy');
  assert.equal((await digestOf(layer))[0], diffIds[0]);
  lifetime.close();
  await eventuallyFree(graphroot);
  await layer[Symbol.asyncDispose]();
});

test('a lifetime descriptor that is never closed keeps the lock only so long after the connection is gone', async () => {
  // Larger than what a pipe takes.
  const graphroot = join(folder, 'large');
  makeStore(graphroot, [{ name: IMAGE, layers: [{ entries: entries('large', 3000) }] }]);
  using store = Store.open({ graphroot });
  const [one, other] = socketpair();
  const serving = serveStoreLayers(
    fromFd(other),
    { store, image: await store.image(IMAGE) },
    stop.signal,
    new Shares({ unread: 100, held: 100 }).connection(0),
  );
  const client = new VarlinkConnection(fromFd(one));
  const { fds } = await client.call(GetLayer, {
    handle: 0,
    params: { layer_index: 0, consumer_has_cap_dac_override: true },
  });
  client.close();
  await assert.rejects(serving, { code: 'LEASE_ENDED' });
  assert.equal(writerFinds(graphroot), 'free');
  closeAll(fds);
});

test('a service that ends takes the lock back at once', async () => {
  const [one, other] = socketpair();
  const end = new AbortController();
  const serving = serveStoreLayers(fromFd(other), { store, image: await store.image(IMAGE) }, end.signal);
  const client = new VarlinkConnection(fromFd(one));
  const { layer, lifetime } = await layerOver(client, { layer_index: 0, consumer_has_cap_dac_override: true });
  client.close();
  setTimeout(() => end.abort(), 50);
  await serving.catch(() => {});
  assert.equal(writerFinds(graphroot), 'free');
  await layer[Symbol.asyncDispose]();
  lifetime.close();
});

test('JSON-RPC clients see all images of the store', async () => {
  using rpc = new JsonRpcConnection(await connect(socket));
  const { result, fds } = await rpc.call(jsonMethods.ListImages, {});
  closeAll(fds);
  assert.deepEqual(
    result.images.map(({ names }) => names),
    [[IMAGE]],
  );
});

test('whoever runs the server is told why a layer ends early', async () => {
  const damaged = join(folder, 'damaged');
  makeStore(damaged, [{ name: IMAGE, layers: [{ entries: made[0]! }] }]);
  for (const name of readdirSync(join(damaged, 'overlay-layers'))) {
    const path = join(damaged, 'overlay-layers', name);
    if (name.endsWith('.tar-split.gz')) truncateSync(path, statSync(path).size - 20);
  }
  using broken = Store.open({ graphroot: damaged });
  const path = join(folder, 'damaged.sock');
  const errors: unknown[] = [];
  const end = new AbortController();
  const serving = serveStore(broken, await listen(path), {
    signal: end.signal,
    image: await broken.image(IMAGE),
    onError: (error) => void errors.push(error),
  });
  {
    await using source = await openSplitfdstreamImage(path, IMAGE);
    await using layer = await source.layers[0]!.open({ signal: end.signal });
    assert.notEqual((await digestOf(layer))[0], diffIds[0]);
  }
  {
    using client = new VarlinkConnection(await connect(path));
    const { fds } = await client.call(GetLayer, {
      handle: 0,
      params: { layer_index: 0, consumer_has_cap_dac_override: true },
    });
    const [stream, ...rest] = fds;
    for await (const _ of sourceFromFd(stream!));
    closeAll(rest);
  }
  for (const deadline = performance.now() + 10_000; errors.length < 2 && performance.now() < deadline; ) await pause(5);
  end.abort();
  await serving;
  assert.equal(errors.length, 2);
  for (const error of errors) assert.match((error as Error).message, /tar-split data .* \(layer /);
});
