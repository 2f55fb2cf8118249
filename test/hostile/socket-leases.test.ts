// A file under a lease: whoever opens it waits until its holder, who owns the file, gives the lease back or the kernel
// takes it after 45 s.
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, before } from 'node:test';
import { attackedStore } from './attacked-store.js';
import { connect } from '../../src/fd/fd-passing.js';
import { initRepository } from '../../src/repository/init.js';
import { JsonRpcConnection } from '../../src/rpc/jsonrpc/connection.js';
import { methods } from '../../src/rpc/contracts/splitfdstream.js';
import { cfsbridge } from '../support/cli/run-cli.js';
import { asAttacker, ATTACKER, attack, whyNoAttacker } from './attack.js';
import { AttackedServer } from './server.js';

const skip = whyNoAttacker();
const IMAGE = 'localhost/leased:1';
const sizes = { small: 1000, large: 2_000_000 };
const entries = Object.entries(sizes).map(([name, size]) => ({ name, content: Buffer.alloc(size, name) }));

let folder: string;
let graphroot: string;
let diff: string;

before(() => {
  ({ folder, graphroot, diff } = attackedStore(IMAGE, entries));
  for (const name of Object.keys(sizes)) chownSync(join(diff, name), ATTACKER, ATTACKER);
});

after(() => rmSync(folder, { recursive: true }));

/** The first on PATH may be in a home that the attacker cannot enter. */
const python = ['/usr/bin/python3', '/usr/local/bin/python3'].find((path) => existsSync(path)) ?? 'python3';

/** Takes a write lease on a file of the layer as the attacker, and does nothing when it is asked back. */
async function takeLease(name: string): Promise<ChildProcess> {
  const [command = '', ...options] = asAttacker;
  const script = `
import fcntl, os, signal, sys, time
signal.signal(signal.SIGIO, signal.SIG_IGN)
fd = os.open(sys.argv[1], os.O_RDONLY)
fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
print("has it", flush=True)
time.sleep(600)`;
  const child = spawn(command, [...options, python, '-c', script, join(diff, name)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await Promise.race([
    once(child.stdout!, 'data'),
    once(child, 'exit').then(() => assert.fail('no lease was to be had')),
  ]);
  return child;
}

attack('a file under a lease in a layer that is served: the next client waits, too', { skip }, async () => {
  await using server = await AttackedServer.start(folder, ['serve', '--root', graphroot]);
  const holder = await takeLease('small');
  using stalled = new JsonRpcConnection(await connect(server.socket));
  const answer = stalled.call(methods.GetSplitFDStream, { layerId: diff.split('/').at(-2)! });
  answer.catch(() => undefined);
  let slowest = 0;
  for (let count = 0; count < 20; count++) {
    const start = performance.now();
    using other = new JsonRpcConnection(await connect(server.socket, { idleTimeout: 5000 }));
    await other.call(methods.GetInfo, {}, { timeout: 5000 });
    slowest = Math.max(slowest, performance.now() - start);
  }
  holder.kill('SIGKILL');
  const { fds } = await answer;
  assert.equal(fds.length, 3);
  for (const fd of fds) fd.close();
  return 'others are answered meanwhile, the answer comes when the lease is gone';
});

for (const name of Object.keys(sizes))
  attack(`a ${name} file under a lease in a store that is pulled from: SIGINT is not heard`, { skip }, async () => {
    const repository = join(folder, `repository-${name}`);
    initRepository(repository, { insecure: true, algorithm: 'sha256' });
    const holder = await takeLease(name);
    try {
      const pull = spawn(
        cfsbridge,
        ['--repo', repository, 'oci', 'pull', `containers-storage:[overlay@${graphroot}+/run/none]${IMAGE}`, 'it'],
        { stdio: 'ignore' },
      );
      const exit = once(pull, 'exit');
      await new Promise((resolve) => setTimeout(resolve, 2000));
      assert.equal(pull.exitCode, null, 'the pull waits for the lease');
      const start = performance.now();
      pull.kill('SIGINT');
      const [status] = await exit;
      assert.equal(status, 130);
      assert.ok(performance.now() - start < 3000, 'it ends soon');
    } finally {
      holder.kill('SIGKILL');
    }
    return 'ends at once with status 130';
  });
