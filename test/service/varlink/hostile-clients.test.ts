// Varlink clients that lie, stall, flood or go away: the server serves the next one, and gives back what they held.
import assert from 'node:assert/strict';
import { openSync, read, readFileSync, writeSync } from 'node:fs';
import { after, afterEach, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { BridgeError } from '../../../src/errors.js';
import { connect, Fd } from '../../../src/fd/fd-passing.js';
import { files } from '../../../src/native.js';
import { VarlinkRemoteError } from '../../../src/rpc/varlink/varlink-error.js';
import { ociMethods } from '../../../src/rpc/contracts/oci.js';
import { repositoryMethods } from '../../../src/rpc/contracts/repository.js';
import { sha256 } from '../../support/images/source-layout.js';
import { closeAll, numberedFiles } from '../../support/servers/replay.js';
import { openDescriptors } from '../../support/filesystems.js';
import { getLayer, openHandle, pullInto, RepositoryServer } from '../../support/servers/repository-server.js';

let server: RepositoryServer;
let full: string;
let diffIds: string[];
/** Descriptors of this process, which serves, while no client is there. */
let idle: number;

before(async () => {
  server = await RepositoryServer.start();
  full = server.repository('full');
  using client = await server.client();
  await pullInto(client, await openHandle(client, full), server.image, 'it');
  diffIds = server.tars.map(sha256);
  await readsAll();
  client.close();
  await sleep(100);
  idle = openDescriptors();
});

after(() => server[Symbol.asyncDispose]());

afterEach(async () => {
  await readsAll();
  for (const deadline = performance.now() + 10_000; openDescriptors() > idle; await sleep(5)) {
    assert.ok(performance.now() < deadline, `${openDescriptors() - idle} descriptors were left open`);
  }
});

/** An honest client: reads a layer to its end, and garbage can be collected afterwards. */
async function readsAll(): Promise<void> {
  using client = await server.client();
  const handle = await openHandle(client, full);
  const { stream, directory, lifetime } = await getLayer(client, handle, diffIds[0]!);
  let length = 0;
  for (const buffer = Buffer.alloc(65536); ; ) {
    const { bytesRead } = await readSome(stream, buffer);
    if (bytesRead === 0) break;
    length += bytesRead;
  }
  assert.ok(length > 30 * 512);
  closeAll([stream, directory, lifetime]);
}

async function readSome(fd: Fd, buffer: Buffer): Promise<{ bytesRead: number }> {
  return new Promise((resolve, reject) =>
    read(fd.number, buffer, 0, buffer.length, null, (error, bytesRead) =>
      error ? reject(error) : resolve({ bytesRead }),
    ),
  );
}

test('a client that never closes its lifetime descriptor', async () => {
  const client = await server.client();
  const kept = await getLayer(client, await openHandle(client, full), diffIds[0]!);
  await readsAll();
  client.close();
  // The descriptors stay with the client, but what the server keeps for them comes to an end.
  using collector = await server.client();
  const handle = await openHandle(collector, full);
  const { parameters } = await collector.call(
    repositoryMethods.Gc,
    { handle, dry_run: false, roots: [] },
    { silenceLimit: 5000 },
  );
  assert.equal(parameters.result.streams_pruned, 0);
  closeAll(Object.values(kept));
});

test('a client that reads on after it closed its connection', async () => {
  const client = await server.client();
  const { stream, directory, lifetime } = await getLayer(client, await openHandle(client, full), diffIds[1]!);
  client.close();
  await sleep(50);
  const text = readFileSync(`/proc/self/fd/${stream.number}`);
  assert.ok(text.length > 30 * 512);
  closeAll([stream, directory, lifetime]);
});

test('a client that goes away in the middle of a stream', async () => {
  const client = await server.client();
  const { stream, directory, lifetime } = await getLayer(client, await openHandle(client, full), diffIds[0]!);
  assert.equal((await readSome(stream, Buffer.alloc(10))).bytesRead, 10);
  client.close();
  closeAll([stream, directory, lifetime]);
});

test('a client that goes away in the middle of a pull', async () => {
  const client = await server.client();
  const handle = await openHandle(client, server.repository(`left-${process.hrtime.bigint()}`));
  for await (const { fds } of client.callMore(ociMethods.Pull, {
    handle,
    image: server.image,
    local_fetch: 'disabled',
    bootable: false,
  })) {
    closeAll(fds);
    break;
  }
  assert.equal(client.closed, true);
});

test('a client that sends a layer and stops in the middle', async () => {
  const client = await server.client();
  const handle = await openHandle(client, server.repository('stopped'));
  const [read, write] = files.pipe().map((number) => new Fd(number)) as [Fd, Fd];
  const { directory, stream, lifetime } = await getLayer(client, await openHandle(client, full), diffIds[0]!);
  const call = client.call(
    ociMethods.PutLayer,
    { handle, diff_id: diffIds[0]!, zerocopy: false },
    { fds: [read, directory] },
  );
  await sleep(50);
  client.close();
  await assert.rejects(call, (error) => error instanceof BridgeError && error.code === 'CONNECTION_CLOSED');
  closeAll([read, write, directory, stream, lifetime]);
});

const chunk = (type: number, ...numbers: number[]): Buffer => Buffer.from([type, ...numbers]);
const named = (size: number, slot: number, name: string): Buffer => {
  const head = Buffer.alloc(17);
  head[0] = 2;
  head.writeUInt32LE(size, 1);
  head.writeUInt32LE(slot, 9);
  head.writeUInt32LE(name.length, 13);
  return Buffer.concat([head, Buffer.from(name)]);
};

const wrongStreams: [name: string, stream: Buffer, error: string][] = [
  ['nothing', Buffer.alloc(0), 'DiffIdMismatch'],
  ['an unknown chunk', chunk(9), 'InternalError'],
  ['half a chunk', chunk(0, 0, 2), 'InternalError'],
  ['a chunk of 4 GiB', chunk(0, 255, 255, 255, 255), 'InternalError'],
  ['no tar', Buffer.concat([chunk(0, 0, 2, 0, 0), Buffer.alloc(512, 'x')]), 'InternalError'],
  ['a directory that did not come', named(100, 7, 'x'), 'InternalError'],
  ['a way out', named(100, 0, '../x'), 'InternalError'],
  ['an absolute name', named(100, 0, '/etc/passwd'), 'InternalError'],
];

for (const [name, bytes, error] of wrongStreams) {
  test(`a client that sends as a layer: ${name}`, async () => {
    using client = await server.client();
    const target = server.repository(`wrong-${name.replaceAll(' ', '-')}`);
    const handle = await openHandle(client, target);
    const [read, write] = files.pipe().map((number) => new Fd(number)) as [Fd, Fd];
    writeSync(write.number, bytes);
    write.close();
    const directory = new Fd(openSync(server.folder, 'r'));
    const call = client.call(
      ociMethods.PutLayer,
      { handle, diff_id: diffIds[0]!, zerocopy: false },
      { fds: [read, directory] },
    );
    await assert.rejects(
      call,
      (thrown) => thrown instanceof VarlinkRemoteError && thrown.error === `org.composefs.Oci.${error}`,
    );
    closeAll([read, directory]);
    assert.equal((await client.call(ociMethods.HasLayer, { handle, diff_id: diffIds[0]! })).parameters.present, false);
  });
}

test('a stream that is no stream, and directories that are none', async () => {
  using client = await server.client();
  const handle = await openHandle(client, server.repository('none'));
  const [directory, device] = [openSync(server.folder, 'r'), openSync('/dev/zero', 'r')].map(
    (number) => new Fd(number),
  ) as [Fd, Fd];
  for (const fds of [
    [directory, directory],
    [device, directory],
    [directory, device],
  ]) {
    const call = client.call(ociMethods.PutLayer, { handle, diff_id: diffIds[0]!, zerocopy: false }, { fds });
    await assert.rejects(
      call,
      (thrown) => thrown instanceof VarlinkRemoteError && thrown.error === 'org.composefs.Oci.InternalError',
    );
  }
  closeAll([directory, device]);
});

test('descriptors that no method wants', async () => {
  using client = await server.client();
  const fds = numberedFiles(253);
  for (let round = 0; round < 5; round++) await client.call(ociMethods.GetInfo, {}, { fds });
  closeAll(fds);
});

test('more than 253 descriptors with one call', async () => {
  using connection = await connect(server.socket);
  const fds = numberedFiles(200);
  server.errors.length = 0;
  for (const piece of ['{"method":', '"org.composefs.Oci.GetInfo"', '}\0'])
    await connection.send(Buffer.from(piece), fds).catch(() => {});
  closeAll(fds);
  await connection.receive().catch(() => undefined);
  assert.deepEqual(
    server.errors.map((error) => (error as BridgeError).code),
    ['TOO_MANY_FDS'],
  );
});

test('more streams than anybody reads', async () => {
  // On a busy machine the first leases would otherwise end before the last are taken.
  await using patient = await RepositoryServer.start({ unread: 60_000, held: 60_000 });
  using client = await patient.client();
  const handle = await openHandle(client, full);
  const kept: Fd[] = [];
  for (let count = 0; count < 64; count++) kept.push(...Object.values(await getLayer(client, handle, diffIds[0]!)));
  await assert.rejects(
    getLayer(client, handle, diffIds[0]!),
    (thrown) => thrown instanceof VarlinkRemoteError && thrown.error === 'org.composefs.Oci.InternalError',
  );
  closeAll(kept);
});

test('two thousand calls at once, whose replies nobody reads', async () => {
  using connection = await connect(server.socket);
  const stop = new AbortController();
  const call = Buffer.from(
    '{"method":"org.varlink.service.GetInterfaceDescription","parameters":{"interface":"org.composefs.Oci"}}\0'.repeat(
      100,
    ),
  );
  const flood = (async () => {
    for (let count = 0; count < 20; count++) await connection.send(call, [], { signal: stop.signal });
  })().catch(() => {});
  await sleep(100);
  await readsAll();
  stop.abort();
  await flood;
});

test('more handles than anybody needs', async () => {
  const before = openDescriptors();
  for (let round = 0; round < 3; round++) {
    using client = await server.client();
    for (let count = 0; count < 500; count++) await openHandle(client, full);
    assert.ok(openDescriptors() - before > 500);
  }
});

for (const [name, bytes] of [
  ['text', 'hello\0'],
  ['a JSON-RPC request', '{"jsonrpc":"2.0","id":1,"method":"GetInfo"}'],
  ['half a call', '{"method":"org.compo'],
  ['zeros', '\0'.repeat(1000)],
] as const)
  test(`garbage: ${name}`, async () => {
    using connection = await connect(server.socket);
    server.errors.length = 0;
    await connection.send(Buffer.from(bytes));
    await connection.shutdown();
    assert.equal(await connection.receive().catch(() => undefined), undefined);
    for (let tries = 0; server.errors.length === 0 && tries < 200; tries++) await sleep(5);
    assert.equal(server.errors.length, 1);
  });
