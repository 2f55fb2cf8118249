// Clients that take what a server has: its memory, its descriptors, its temporary files. The next client is served all
// the same.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { attackedStore } from './attacked-store.js';
import { connect, listen, type Fd } from '../../src/fd/fd-passing.js';
import { sourceFromFd } from '../../src/fd/byte-source.js';
import type { ClientLimits } from '../../src/limits.js';
import { JsonRpcConnection } from '../../src/rpc/jsonrpc/connection.js';
import { FEATURE_SPLITDIRFDSTREAM } from '../../src/rpc/contracts/features.js';
import { methods } from '../../src/rpc/contracts/splitfdstream.js';
import { serveStore } from '../../src/service/serve.js';
import { Store } from '../../src/storage/store.js';
import { writerFinds } from '../support/lock-probe.js';
import { asAttacker, attack, whyNoAttacker } from './attack.js';
import { AttackedServer } from './server.js';

const skip = whyNoAttacker();
const IMAGE = 'localhost/many:1';
const entries = Array.from({ length: 1000 }, (_, i) => ({ name: `f${i}`, content: Buffer.alloc(100, `${i} `) }));

let folder: string;
let graphroot: string;
let layerId: string;

before(() => {
  ({ folder, graphroot, layerId } = attackedStore(IMAGE, entries));
});

after(() => rmSync(folder, { recursive: true }));

const serve = (runner: readonly string[] = []): Promise<AttackedServer> =>
  AttackedServer.start(folder, ['serve', '--root', graphroot], runner);
const limited = (descriptors: number): string[] => ['prlimit', `--nofile=${descriptors}:${descriptors}`];

/** Runs the attack as another user; what it took it keeps while `look` runs. */
async function flood(
  args: readonly string[],
  look: (result: Record<string, number | string>) => Promise<string>,
): Promise<string> {
  const [command = '', ...options] = asAttacker;
  const program = fileURLToPath(new URL('./flood.program.js', import.meta.url));
  const child = spawn(command, [...options, ...limited(8192), process.execPath, program, ...args, 'stay'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const closed = once(child, 'close');
  try {
    const [line] = (await Promise.race([
      once(createInterface(child.stdout!), 'line'),
      closed.then(() => assert.fail('the attack did not work')),
    ])) as [string];
    return await look(JSON.parse(line) as Record<string, number | string>);
  } finally {
    child.kill('SIGKILL');
    await closed;
  }
}

/** Most memory the server ever had, in MiB. */
const peak = ({ child }: AttackedServer): number =>
  Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, 'latin1'))?.[1]) / 1024;
const descriptorsOf = ({ child }: AttackedServer): number => readdirSync(`/proc/${child.pid}/fd`).length;

/** Asks as root for a layer, in the form the server's room is scarcest for. */
async function isServed(socket: string): Promise<void> {
  using rpc = new JsonRpcConnection(await connect(socket, { idleTimeout: 20_000 }));
  for (const params of [{ layerId }, { layerId, format: FEATURE_SPLITDIRFDSTREAM }] as const) {
    const { fds } = await rpc.call(methods.GetSplitFDStream, params);
    assert.ok(fds.length === 3 || fds.length > 800);
    for (const fd of fds) fd.close();
  }
}

for (const command of ['serve', 'varlink'])
  attack(`a call that never ends and names no method, one byte at a time (${command})`, { skip }, async () => {
    await using server = command === 'varlink' ? await AttackedServer.start(folder, ['varlink']) : await serve();
    return await flood(['bytes', server.socket, 'without a method', '10000'], async ({ sent }) => {
      assert.ok(Number(sent) < 70_000, `the server took ${sent} bytes`);
      return `ended after ${sent} bytes`;
    });
  });

for (const begun of ['with a method', 'FinalizeImage'])
  attack(`forty calls at once that never end (${begun})`, { skip }, async () => {
    await using server = begun === 'FinalizeImage' ? await AttackedServer.start(folder, ['varlink']) : await serve();
    const before = peak(server);
    return await flood(['messages', server.socket, begun, '40', '5000'], async ({ sent }) => {
      const grown = peak(server) - before;
      assert.ok(grown < 160, `the server grew by ${grown} MiB after ${sent} bytes`);
      return `took ${Math.round(Number(sent) / 2 ** 20)} MiB, grew by less than 160`;
    });
  });

attack('two thousand connections', { skip }, async () => {
  await using server = await serve(limited(4096));
  return await flood(['connections', server.socket, '2000'], async ({ open }) => {
    assert.ok(Number(open) <= 4096 / 4 / 8, `${open} are open`);
    await isServed(server.socket);
    return `${open} are let in, root is served`;
  });
});

attack('six hundred leases over sixty connections', { skip }, async () => {
  await using server = await serve(limited(4096));
  return await flood(['leases', server.socket, layerId, '60'], async ({ leases }) => {
    assert.ok(Number(leases) <= 64 && Number(leases) > 40, `${leases} are given`);
    assert.ok(descriptorsOf(server) < 1024, `${descriptorsOf(server)} descriptors`);
    await isServed(server.socket);
    return `${leases} are given, root is served`;
  });
});

attack('sixty answers of the form of one descriptor for each file that nobody reads', { skip }, async () => {
  await using server = await serve(limited(4096));
  return await flood(['answers', server.socket, layerId, '60'], async () => {
    await new Promise((resolve) => setTimeout(resolve, 3000));
    assert.ok(descriptorsOf(server) < 1100, `${descriptorsOf(server)} descriptors`);
    await isServed(server.socket);
    return 'a quarter of the descriptors at most, root is served';
  });
});

// What takes minutes with the command is tried with shorter limits of the same function.

async function withLimits<T>(
  limits: Partial<ClientLimits>,
  run: (socket: string, errors: unknown[]) => Promise<T>,
): Promise<T> {
  const stop = new AbortController();
  const socket = join(folder, `limits-${Math.random()}`);
  using store = Store.open({ graphroot });
  const errors: unknown[] = [];
  const served = serveStore(store, await listen(socket), {
    signal: stop.signal,
    limits,
    onError: (error) => void errors.push(error),
  });
  try {
    return await run(socket, errors);
  } finally {
    stop.abort();
    await served;
  }
}

for (const [what, first] of [
  ['a first message', '{"a'],
  ['a call', '{"jsonrpc":"2.0","id":1,"method":"GetInfo","params":{"'],
  ['a varlink call', '{"method":"org.varlink.service.GetInfo"}\0{"'],
] as const)
  test(`${what} that is not completed ends its connection after a time`, () =>
    withLimits({ messageTime: 200 }, async (socket, errors) => {
      using connection = await connect(socket, { idleTimeout: 10_000 });
      await connection.send(Buffer.from(first));
      for await (const _ of connection);
      assert.equal((errors[0] as { code?: string }).code, 'MESSAGE_TIMEOUT');
    }));

async function lease(rpc: JsonRpcConnection): Promise<Fd[]> {
  return (await rpc.call(methods.GetSplitFDStream, { layerId, format: FEATURE_SPLITDIRFDSTREAM })).fds;
}

test('a lease whose stream is not read ends after a time', () =>
  withLimits({ unread: 300 }, async (socket) => {
    using rpc = new JsonRpcConnection(await connect(socket));
    const fds = await lease(rpc);
    assert.equal(writerFinds(graphroot), 'busy');
    for (const deadline = performance.now() + 10_000; writerFinds(graphroot) === 'busy'; await pause(20))
      assert.ok(performance.now() < deadline);
    for (const fd of fds) fd.close();
  }));

test('a lease whose stream is read lasts, until it has lasted very long and a writer waits', () =>
  withLimits({ unread: 200, held: 600 }, async (socket) => {
    using rpc = new JsonRpcConnection(await connect(socket));
    const [stream, ...others] = await lease(rpc);
    for await (const _ of sourceFromFd(stream!));
    await pause(1500);
    assert.equal(writerFinds(graphroot), 'busy');
    const wait = 'import fcntl, sys; fcntl.lockf(open(sys.argv[1], "r+"), fcntl.LOCK_EX)';
    const [status] = await once(
      spawn('python3', ['-c', wait, join(graphroot, 'overlay-layers/layers.lock')], {
        stdio: 'inherit',
        timeout: 10_000,
      }),
      'exit',
    );
    assert.equal(status, 0);
    for (const fd of others) fd.close();
  }));

const pause = (milliseconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds));
