// The commands started with a socket: by systemd's socket activation, and by varlinkctl's exec:, which passes a
// connection.
import assert from 'node:assert/strict';
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect, fromFd, socketpair, type Connection } from '../../../src/fd/fd-passing.js';
import { VarlinkConnection } from '../../../src/rpc/varlink/client.js';
import { serviceMethods } from '../../../src/rpc/varlink/service-interface.js';
import { initRepository } from '../../../src/repository/init.js';
import { cfsbridge, runCli } from '../../support/cli/run-cli.js';
import { fastFolder } from '../../support/fast-folder.js';
import { makeStore } from '../../support/images/made-store.js';

let folder: string;
let graphroot: string;

before(() => {
  folder = mkdtempSync(join(fastFolder, 'activation-'));
  graphroot = join(folder, 'store');
  makeStore(graphroot, [
    { name: 'localhost/it:1', layers: [{ entries: [{ name: 'file', content: Buffer.alloc(100) }] }] },
  ]);
});
after(() => rmSync(folder, { recursive: true }));

const OF_REPOSITORIES = [
  'org.composefs.Repository',
  'org.composefs.Oci',
  'org.composefs.bridge.Ostree',
  'org.varlink.service',
];
const commands: [name: string, args: () => string[], interfaces: string[]][] = [
  ['the program without words', () => [], OF_REPOSITORIES],
  ['varlink', () => ['varlink'], OF_REPOSITORIES],
  ['oci varlink', () => ['oci', 'varlink'], OF_REPOSITORIES],
  ['serve', () => ['serve', '--root', graphroot], ['org.composefs.Oci', 'org.varlink.service']],
];

/** Starts a command with a connection as systemd passes it: number 3, and the process's own id in LISTEN_PID. */
function startOn(connection: number, args: readonly string[]): ChildProcess {
  const script = 'LISTEN_FDS=1 LISTEN_PID=$$ exec "$@"';
  return spawn('sh', ['-c', script, 'sh', cfsbridge, ...args], { stdio: ['ignore', 'ignore', 'ignore', connection] });
}

/** The same with a socket that listens at `path` already. */
function startListening(path: string, args: readonly string[]): ChildProcess {
  const script = `
import os, socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
os.dup2(listener.fileno(), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[2], sys.argv[2:])`;
  return spawn('python3', ['-c', script, path, cfsbridge, ...args], { stdio: 'ignore' });
}

/** Once somebody listens. */
async function connectSoon(path: string): Promise<Connection> {
  for (const deadline = performance.now() + 20_000; ; await sleep(10)) {
    try {
      return await connect(path);
    } catch (error) {
      if (performance.now() > deadline) throw error;
    }
  }
}

async function interfacesOf(client: VarlinkConnection): Promise<string[]> {
  return (await client.call(serviceMethods.GetInfo, {}, { silenceLimit: 20_000 })).parameters.interfaces;
}

for (const [name, args, interfaces] of commands) {
  test(`${name} on a socket that somebody else listens on`, async () => {
    const path = join(folder, `${name.replaceAll(' ', '-')}.sock`);
    const child = startListening(path, args());
    const ended = once(child, 'exit');
    {
      using client = new VarlinkConnection(await connectSoon(path));
      assert.deepEqual(await interfacesOf(client), interfaces);
    }
    child.kill('SIGTERM');
    await ended;
  });

  test(`${name} on a connection`, async () => {
    const [mine, other] = socketpair();
    const child = startOn(other.number, args());
    const ended = once(child, 'exit');
    other.close();
    {
      using client = new VarlinkConnection(fromFd(mine));
      assert.deepEqual(await interfacesOf(client), interfaces);
    }
    // The command ends with its only connection.
    assert.deepEqual(await ended, [0, null]);
  });
}

test('a relative path of a repository is one of the client, not of the server', async () => {
  const path = join(folder, 'relative.sock');
  const child = spawn(cfsbridge, ['varlink', '--address', path], { cwd: '/', stdio: 'ignore' });
  const ended = once(child, 'exit');
  (await connectSoon(path)).close();
  for (const name of ['here', 'there']) initRepository(join(folder, name), { insecure: true });
  const pull = runCli(['--repo', 'here', 'oci', 'pull', '--socket', path, '--from', 'there', 'none'], { cwd: folder });
  assert.match(pull.stderr, /NoSuchImage/);
  const copy = runCli(['--repo', 'here', 'oci', 'copy', '--socket', path, '--from', 'there', 'none'], { cwd: folder });
  assert.match(copy.stderr, /NoSuchImage/);
  child.kill('SIGTERM');
  await ended;
});

test('varlink without a socket', () => {
  const { status, stderr } = runCli(['varlink']);
  assert.equal(status, 2);
  assert.match(stderr, /--address/);
});

test('sockets of another process start no service', () => {
  const { status, stderr } = runCli([], { env: { ...process.env, LISTEN_FDS: '1', LISTEN_PID: '1' } });
  assert.equal(status, 2);
  assert.match(stderr, /^Usage: cfsbridge /);
});

test('more than one socket is refused', () => {
  const { status, stderr } = spawnSync('sh', ['-c', 'LISTEN_FDS=2 LISTEN_PID=$$ exec "$@"', 'sh', cfsbridge], {
    encoding: 'utf8',
  });
  assert.equal(status, 1);
  assert.match(stderr, /systemd passed 2 sockets/);
});

test('no sockets are as none passed', () => {
  const { status, stderr } = spawnSync('sh', ['-c', 'LISTEN_FDS=0 LISTEN_PID=$$ exec "$@"', 'sh', cfsbridge], {
    encoding: 'utf8',
  });
  assert.equal(status, 2);
  assert.match(stderr, /^Usage: cfsbridge /);
});
