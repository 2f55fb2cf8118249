// Clients that lie, stall, flood or die: the server goes on for everybody else, and gives back what they held.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { connect, type Connection, type Fd } from '../../src/fd/fd-passing.js';
import { openSplitfdstreamImage } from '../../src/oci/source/splitfdstream.js';
import { JsonRpcConnection } from '../../src/rpc/jsonrpc/connection.js';
import { RemoteError } from '../../src/rpc/rpc-error.js';
import { getSplitFDStream } from '../../src/rpc/jsonrpc/client.js';
import { FEATURE_SPLITDIRFDSTREAM } from '../../src/rpc/contracts/features.js';
import { methods } from '../../src/rpc/contracts/splitfdstream.js';
import { Store } from '../../src/storage/store.js';
import { serving } from '../support/servers/serving.js';
import { fastFolder } from '../support/fast-folder.js';
import { openDescriptors } from '../support/filesystems.js';
import { makeStore, type MadeEntry } from '../support/images/made-store.js';
import { eventuallyFree, writerFinds } from '../support/lock-probe.js';

const IMAGE = 'localhost/served:1';
const entries = (layer: string): MadeEntry[] =>
  Array.from({ length: 400 }, (_, i) => ({ name: `usr/${layer}${i}`, content: Buffer.alloc(100, `${layer} ${i} `) }));

let folder: string;
let graphroot: string;
let store: Store;
let server: AsyncDisposable & { path: string };
let errors: unknown[];
/** Descriptors of this process, which serves, while no client is there. */
let idle: number;
let layers: { id: string; parentId: string }[];

before(async () => {
  folder = mkdtempSync(join(fastFolder, 'clients-'));
  graphroot = join(folder, 'store');
  makeStore(graphroot, [{ name: IMAGE, layers: [{ entries: entries('a') }, { entries: entries('b') }] }]);
});

after(() => rmSync(folder, { recursive: true }));

beforeEach(async () => {
  errors = [];
  store = Store.open({ graphroot });
  server = await serving(store, folder, 'directory', (error) => void errors.push(error));
  await readsAll();
  idle = openDescriptors();
});

afterEach(async () => {
  // Whatever the client was, the server serves the next one, and nothing of the other is left.
  try {
    await leavesNothing();
  } finally {
    await server[Symbol.asyncDispose]();
    store[Symbol.dispose]();
  }
});

async function leavesNothing(): Promise<void> {
  await readsAll();
  for (const deadline = performance.now() + 10_000; openDescriptors() > idle; await sleep(5)) {
    assert.ok(performance.now() < deadline, `${openDescriptors() - idle} descriptors were left open`);
  }
  await eventuallyFree(graphroot);
}

/** An honest client: reads every layer to its end. */
async function readsAll(): Promise<void> {
  using rpc = await client();
  const { result } = await rpc.call(methods.GetImage, { imageId: IMAGE });
  layers = result.layers!;
  await using source = await openSplitfdstreamImage(server.path, IMAGE);
  for (const { open } of source.layers) {
    let chunks = 0;
    await using layer = await open();
    for await (const batch of layer) chunks += batch.length;
    assert.ok(chunks >= 800);
  }
}

async function client(): Promise<JsonRpcConnection> {
  return new JsonRpcConnection(await connect(server.path));
}

const byDirectory = (layerId: string): { layerId: string; format: typeof FEATURE_SPLITDIRFDSTREAM } => ({
  layerId,
  format: FEATURE_SPLITDIRFDSTREAM,
});

test('a client that never reads its pipe', async () => {
  using rpc = await client();
  const reply = await getSplitFDStream(rpc, byDirectory(layers[0]!.id));
  await readsAll();
  assert.equal(writerFinds(graphroot), 'busy');
  rpc.close();
  close(reply);
});

test('a client that keeps pipe and lease, and hangs up', async () => {
  const rpc = await client();
  const replies = await Promise.all(layers.map(({ id }) => getSplitFDStream(rpc, byDirectory(id))));
  rpc.close();
  await eventuallyFree(graphroot);
  replies.forEach(close);
});

test('a client that closes the lease and goes on reading', async () => {
  using rpc = await client();
  const reply = await getSplitFDStream(rpc, byDirectory(layers[0]!.id));
  if ('lease' in reply) reply.lease.close();
  await eventuallyFree(graphroot);
  close(reply);
});

test('a client that wants more leases than anybody needs', async () => {
  using rpc = await client();
  const replies = [];
  for (let i = 0; i < 64; i++) replies.push(await getSplitFDStream(rpc, byDirectory(layers[0]!.id)));
  await assert.rejects(getSplitFDStream(rpc, byDirectory(layers[0]!.id)), RemoteError);
  close(replies.pop()!);
  for (let attempt = 0; ; attempt++) {
    try {
      replies.push(await getSplitFDStream(rpc, byDirectory(layers[1]!.id)));
      break;
    } catch (error) {
      if (attempt === 100) throw error;
      await sleep(5);
    }
  }
  replies.forEach(close);
});

const wrongLayers: [string, { layerId: string; parentId?: string }][] = [
  ['unknown', { layerId: '0'.repeat(64) }],
  ['a way out', { layerId: '../../x' }],
  ['absolute', { layerId: '/etc' }],
  ['a name with NUL', { layerId: 'a\0b' }],
  ['very long', { layerId: 'x'.repeat(100_000) }],
  ['empty', { layerId: '' }],
];
test('layers that do not exist', async () => {
  using rpc = await client();
  for (const [what, params] of wrongLayers) {
    for (const format of [undefined, FEATURE_SPLITDIRFDSTREAM] as const) {
      await assert.rejects(
        rpc.call(methods.GetSplitFDStream, { ...params, format }),
        (error) => error instanceof RemoteError && error.rpcCode === -32602,
        what,
      );
    }
  }
});

test("a parent that is not the layer's", async () => {
  using rpc = await client();
  const [base, top] = [layers[0]!, layers[1]!];
  for (const [layerId, parentId] of [
    [top.id, ''],
    [top.id, top.id],
    [base.id, top.id],
    [top.id, '../x'],
  ] as const) {
    await assert.rejects(
      rpc.call(methods.GetSplitFDStream, { layerId, parentId }),
      (error) => error instanceof RemoteError && error.rpcCode === -32602,
    );
  }
});

test('images that do not exist', async () => {
  using rpc = await client();
  for (const imageId of [
    'nothing',
    '../../x',
    '',
    '\0',
    '@',
    'x'.repeat(100_000),
    `${IMAGE}@sha256:${'0'.repeat(64)}`,
  ]) {
    await assert.rejects(rpc.call(methods.GetImage, { imageId }), RemoteError, JSON.stringify(imageId.slice(0, 20)));
  }
});

const garbage: [string, Buffer][] = [
  ['text', Buffer.from('hello')],
  ['zeros', Buffer.alloc(1000)],
  ['an array', Buffer.from('[]')],
  ['half a request', Buffer.from('{"jsonrpc":"2.0","id":1,"meth')],
  ['descriptors that do not come', Buffer.from('{"jsonrpc":"2.0","id":1,"method":"GetInfo","fds":7}')],
  ['deep nesting', Buffer.from(`{"a":${'['.repeat(1000)}`)],
  ['invalid UTF-8', Buffer.from('{"jsonrpc":"2.0","id":1,"method":"\xff"}', 'latin1')],
];
for (const [what, bytes] of garbage)
  test(`garbage: ${what}`, async () => {
    using connection = await connect(server.path);
    await connection.send(bytes);
    await connection.shutdown();
    await drain(connection);
    assert.equal(errors.length, 1);
  });

test('requests that are none, and descriptors nobody wants', async () => {
  using connection = await connect(server.path);
  using nothing = await connect(server.path);
  const ends = { number: 1 } as unknown as Fd;
  for (const text of [
    '{"jsonrpc":"2.0","id":1,"method":7}',
    '{"jsonrpc":"2.0","id":1,"method":"Nothing"}',
    '{"jsonrpc":"2.0","id":1,"method":"GetImage","params":[]}',
    '{"jsonrpc":"2.0","method":"GetInfo"}',
  ])
    await connection.send(Buffer.from(text));
  await connection.send(Buffer.from('{"jsonrpc":"2.0","id":2,"method":"GetInfo","params":{},"fds":2}'), [ends, ends]);
  await connection.shutdown();
  const answers = (await drain(connection))
    .replaceAll('}{', '}\n{')
    .split('\n')
    .map((line) => (JSON.parse(line) as { error?: { code: number } }).error?.code);
  assert.deepEqual(answers, [-32600, -32601, -32602, undefined]);
  nothing.close();
});

for (const [what, first] of [
  ['before any message', ' '],
  ['as a message announces', '{"jsonrpc":"2.0","id":1,"method":"GetInfo","fds":5000}'],
] as const)
  test(`thousands of descriptors, ${what}`, async () => {
    using connection = await connect(server.path);
    const flood = Array.from({ length: 250 }, () => ({ number: 1 }) as unknown as Fd);
    await assert.rejects(
      async () => {
        for (let i = 0; i < 20; i++) await connection.send(Buffer.from(i === 0 ? first : ' '), flood);
        await connection.shutdown();
        await drain(connection);
        throw errors[0];
      },
      { code: /^(PEER_GONE|TOO_MANY_FDS|INVALID_FD_COUNT)$/ },
    );
  });

test('a thousand connections at once, most of which say nothing', async () => {
  const connections: Connection[] = [];
  for (let i = 0; i < 1000; i++) connections.push(await connect(server.path));
  await readsAll();
  for (const connection of connections) connection.close();
});

test('two thousand requests whose answers nobody reads', async () => {
  using connection = await connect(server.path);
  const stop = new AbortController();
  const request = Buffer.from(`{"jsonrpc":"2.0","id":1,"method":"GetImage","params":{"imageId":"${IMAGE}"}}`);
  const flood = (async () => {
    for (let i = 0; i < 2000; i++) await connection.send(request, [], { signal: stop.signal });
  })().catch(() => {});
  await sleep(100);
  await readsAll();
  stop.abort();
  await flood;
});

test('the service ends although a client does not read its answers', async () => {
  const path = mkdtempSync(join(folder, 'second-'));
  const second = await serving(store, path);
  using connection = await connect(second.path);
  const stop = new AbortController();
  const request = Buffer.from(`{"jsonrpc":"2.0","id":1,"method":"GetImage","params":{"imageId":"${IMAGE}"}}`);
  const flood = (async () => {
    for (let i = 0; i < 2000; i++) await connection.send(request, [], { signal: stop.signal });
  })().catch(() => {});
  await sleep(100);
  const ended = await Promise.race([
    second[Symbol.asyncDispose]().then(() => true),
    sleep(3000, false, { ref: false }),
  ]);
  stop.abort();
  await flood;
  assert.equal(ended, true);
});

test('a client process that is killed while it reads', async () => {
  for (let round = 0; round < 3; round++) {
    const program = fileURLToPath(new URL('./keep-layer.program.js', import.meta.url));
    const child = spawn(process.execPath, [program, server.path, layers[1]!.id], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(child.stdout!, 'data');
    assert.equal(writerFinds(graphroot), 'busy');
    child.kill('SIGKILL');
    await once(child, 'close');
    await readsAll();
  }
});

function close(reply: Awaited<ReturnType<typeof getSplitFDStream>>): void {
  const fds = reply.format === 'splitfdstream' ? reply.files : [...reply.dirs, reply.lease];
  for (const fd of [reply.stream, ...fds]) fd.close();
}

async function drain(connection: Connection): Promise<string> {
  const parts: Buffer[] = [];
  try {
    for await (const { bytes } of connection) parts.push(bytes);
  } catch (error) {
    assert.equal((error as { code?: string }).code, 'PEER_GONE');
  }
  return Buffer.concat(parts).toString();
}
