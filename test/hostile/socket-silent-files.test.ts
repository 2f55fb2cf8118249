// Descriptors whose filesystem never answers. They must stop neither a pull nor a server.
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { connect } from '../../src/fd/fd-passing.js';
import type { BridgeError } from '../../src/errors.js';
import { pullImage } from '../../src/oci/pull/pull.js';
import { openSource } from '../../src/oci/source/open.js';
import { openSocketImage } from '../../src/oci/source/socket.js';
import { fsckRepository } from '../../src/repository/fsck/fsck.js';
import { initRepository } from '../../src/repository/init.js';
import { Repository } from '../../src/repository/repository.js';
import { VarlinkConnection } from '../../src/rpc/varlink/client.js';
import { serviceMethods } from '../../src/rpc/varlink/service-interface.js';
import { cfsbridge } from '../support/cli/run-cli.js';
import { makeStore } from '../support/images/made-store.js';
import { asAttacker, attack, whyNoAttacker } from './attack.js';
import { AttackedServer, asStranger } from './server.js';

const skip = whyNoAttacker() || (existsSync('/dev/fuse') ? false : 'the kernel has no FUSE');

let folder: string;
const mountpoints: string[] = [];
const started: ChildProcess[] = [];

before(async () => {
  if (skip !== false) return;
  folder = mkdtempSync(join(tmpdir(), 'silent-'));
  chmodSync(folder, 0o777);
});

after(async () => {
  // What waits for the filesystem gets an error when that is gone.
  for (const child of started) child.kill('SIGKILL');
  if (folder === undefined) return;
  for (const mountpoint of mountpoints) await once(spawn('umount', ['-l', mountpoint], { stdio: 'ignore' }), 'exit');
  rmSync(folder, { recursive: true });
});

function programPath(name: string): string {
  return fileURLToPath(new URL(`./${name}.program.js`, import.meta.url));
}

async function start([command = '', ...args]: readonly string[], says: string): Promise<ChildProcess> {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  started.push(child);
  const [data] = (await Promise.race([
    once(child.stdout!, 'data'),
    once(child, 'exit').then(() => [`${command} ended`]),
  ])) as [Buffer | string];
  assert.equal(data.toString().trim(), says);
  return child;
}

/** @returns a file that can be opened once, and then nothing more can be had of it */
async function silentFile(length: number): Promise<string> {
  const mountpoint = join(folder, `fuse${mountpoints.length}`);
  mkdirSync(mountpoint);
  mountpoints.push(mountpoint);
  await start([process.execPath, programPath('silent-fuse'), mountpoint, String(length)], 'mounted');
  return join(mountpoint, 'f');
}

/** Starts a server that passes such a file. @returns its socket */
async function serve(
  name: string,
  runner: readonly string[],
  length = 100_000,
  ...isStream: ['stream'?]
): Promise<string> {
  const socket = join(folder, `${name}.sock`);
  await start(
    [
      ...runner,
      process.execPath,
      programPath('pass-file'),
      socket,
      await silentFile(length),
      String(length),
      ...(isStream as string[]),
    ],
    'serving',
  );
  return socket;
}

/** Starts a pull from such a server. */
async function pull(
  ...args: Parameters<typeof serve>
): Promise<{ child: ChildProcess; exit: Promise<unknown[]>; errors: () => string }> {
  const [name] = args;
  const socket = await serve(...args);
  const repository = join(folder, name);
  initRepository(repository, { insecure: true, algorithm: 'sha256' });
  const child = spawn(cfsbridge, ['--repo', repository, 'oci', 'pull', '--socket', socket, 'it', 'it'], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  started.push(child);
  let text = '';
  child.stderr.on('data', (data: Buffer) => (text += data.toString()));
  return { child, exit: once(child, 'exit'), errors: () => text };
}

attack('a server passes a file on a FUSE mount whose server never answers', { skip }, async () => {
  const { exit, errors } = await pull('strangers', asAttacker);
  const [status] = await Promise.race([exit, sleep(70_000, ['still runs'], { ref: false })]);
  assert.equal(status, 1);
  assert.match(errors(), /a descriptor of a stranger is of a filesystem/);
  return 'refused, before it is read or closed';
});

attack('root passes such a file: two SIGINT', { skip }, async () => {
  const { child, exit } = await pull('roots', []);
  await sleep(3000);
  assert.equal(child.exitCode, null);
  child.kill('SIGINT');
  await sleep(1500);
  assert.equal(child.exitCode, null, 'the first one is heard, but a thread reads');
  const second = performance.now();
  child.kill('SIGINT');
  const [status] = await Promise.race([exit, sleep(5000, ['still runs'], { ref: false })]);
  assert.equal(status, 130);
  assert.ok(performance.now() - second < 1000);
  return 'the second one ends it at once';
});

attack('a client sends a thousand descriptors of such a file to a server', { skip }, async () => {
  await using server = await AttackedServer.start(folder, ['varlink'], ['prlimit', '--nofile=512:512']);
  const before = readdirSync(`/proc/${server.child.pid}/fd`).length;
  const { sent } = asStranger<{ sent: number }>('flood', [
    'descriptors',
    server.socket,
    await silentFile(100_000),
    '20',
  ]);
  await sleep(500);
  const left = readdirSync(`/proc/${server.child.pid}/fd`).length - before;
  assert.ok(left <= 512 / 4, `${left} descriptors are left open after ${sent}`);
  using rpc = new VarlinkConnection(await connect(server.socket, { idleTimeout: 5000 }));
  await rpc.call(serviceMethods.GetInfo, {});
  return `keeps a quarter of its descriptors at most (${left}), root is served`;
});

for (const [what, isStream] of [
  ['a file of a layer', []],
  ['the stream of a layer', ['stream']],
] as const)
  attack(`root passes such a file as ${what}, and nobody interrupts`, { skip }, async () => {
    const { exit, errors } = await pull(`silent${isStream.length}`, [], 100_000, ...isStream);
    const [status] = await Promise.race([exit, sleep(90_000, ['still runs'], { ref: false })]);
    assert.equal(status, 1, errors());
    assert.match(errors(), /nothing came for 60 s/);
    assert.match(errors(), /sha256:0{64}/);
    if (isStream.length === 0) assert.match(errors(), /entry.*f/);
    return 'ends after a minute of silence, with the layer and the entry';
  });

// What takes a minute with the command is tried with a shorter limit of the same functions.
for (const length of [100_000, 2_000_000])
  attack(`root passes file after file of ${length} bytes to a process that lives long`, { skip }, async () => {
    const repository = join(folder, `long-${length}`);
    initRepository(repository, { insecure: true, algorithm: 'sha256' });
    using opened = await Repository.open(repository, { write: true });
    for (let count = 0; count < 4; count++) {
      await using source = await openSocketImage(await serve(`long-${length}-${count}`, [], length), 'it', {
        silenceLimit: 400,
      });
      await assert.rejects(pullImage(opened, source), (error: BridgeError) => {
        assert.deepEqual(
          [error.code, error.place.entry, error.place.layer],
          ['PEER_SILENT', 'f', `sha256:${'0'.repeat(64)}`],
        );
        return true;
      });
    }
    const { graphroot, name } = goodStore();
    await using good = await openSource(`containers-storage:[overlay@${graphroot}+/run/none]${name}`);
    await pullImage(opened, good, { name: 'good' });
    // Whoever comes back late finds everything as it was left.
    for (const child of started.splice(0)) child.kill('SIGKILL');
    await sleep(500);
    await using again = await openSource(`containers-storage:[overlay@${graphroot}+/run/none]${name}`);
    await pullImage(opened, again, { name: 'again' });
    assert.equal((await fsckRepository(opened)).errors.length, 0);
    return 'each pull ends with PEER_SILENT, and the next one has threads';
  });

function goodStore(): { graphroot: string; name: string } {
  const graphroot = mkdtempSync(join(folder, 'good-'));
  const name = 'localhost/good:1';
  const entries = [
    { name: 'small', content: Buffer.alloc(1000, 'x') },
    { name: 'large', content: Buffer.alloc(2_000_000, 'y') },
  ];
  makeStore(graphroot, [{ name, layers: [{ entries }] }]);
  return { graphroot, name };
}
