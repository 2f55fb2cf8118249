// The process in the namespace ends with whoever started it.
import assert from 'node:assert/strict';
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, lchownSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { setTimeout } from 'node:timers/promises';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { cfsbridge } from '../support/cli/run-cli.js';
import { baseLayerFolder, makeStore, type MadeLayer } from '../support/images/made-store.js';
import { writerFinds } from '../support/lock-probe.js';
import { ROOTLESS, RootlessUser, SUBORDINATE, whyNoRootlessUser } from '../support/rootless-user.js';

const LAYER: MadeLayer = { entries: [{ name: 'closed', content: Buffer.alloc(5000, 'c') }] };
const NAME = 'localhost/closed:latest';
const program = fileURLToPath(new URL('./read-layers.program.js', import.meta.url));

describe('the process in the namespace', { skip: whyNoRootlessUser() }, () => {
  let user: RootlessUser;
  let graphroot: string;
  before(() => {
    user = new RootlessUser();
    graphroot = join(user.home, 'store');
    makeStore(graphroot, [{ name: NAME, layers: [LAYER] }]);
    execFileSync('chown', ['-R', `${ROOTLESS}:${ROOTLESS}`, graphroot]);
    const secret = join(baseLayerFolder(graphroot, LAYER), 'closed');
    lchownSync(secret, SUBORDINATE, SUBORDINATE);
    chmodSync(secret, 0o600);
  });
  after(() => user[Symbol.dispose]());

  test('leaves no descriptor and no child behind', () => {
    const { status, stdout, stderr } = user.run([process.execPath, program, graphroot, NAME]);
    assert.equal(status, 0, stderr);
    assert.deepEqual(JSON.parse(stdout), { bytes: 512 + 5120 + 1024, children: '' });
  });

  for (const signal of ['SIGTERM', 'SIGKILL'] as const)
    test(`ends with a server that ${signal} ends`, async () => {
      const socket = join(user.home, `socket-${signal}`);
      const server = start(cfsbridge, 'serve', '--socket', socket, '--root', graphroot);
      await lineOf(server.stderr!, /^serving /);
      await endsBy(server, signal);
    });

  for (const signal of ['SIGINT', 'SIGKILL'] as const)
    test(`ends with a reader that ${signal} ends in the middle of a layer, and its lock is free`, async () => {
      const reader = start(process.execPath, program, graphroot, NAME, 'wait');
      await lineOf(reader.stdout!, /^reading$/);
      assert.equal(writerFinds(graphroot), 'busy');
      await endsBy(reader, signal);
      assert.equal(writerFinds(graphroot), 'free');
    });

  /** In a process group of its own, as a shell has it. */
  function start(...command: string[]): ChildProcess {
    const [first = '', ...rest] = user.command(command);
    return spawn(first, rest, { stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  }

  async function endsBy(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
    assert.equal(inside().length, 1);
    const exit = once(child, 'exit');
    // To all of the group, as a terminal does.
    process.kill(-child.pid!, signal);
    await exit;
    while (inside().length > 0) await setTimeout(20);
  }

  /** The processes that do something with the store in a namespace. */
  function inside(): string[] {
    return readdirSync('/proc').filter((pid) => /^\d+$/.test(pid) && isInside(pid));
  }

  function isInside(pid: string): boolean {
    try {
      const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
      return words.includes('inside-user-namespace') && words.some((word) => word.includes(graphroot));
    } catch {
      // it has just ended
      return false;
    }
  }
});

async function lineOf(output: Readable, expected: RegExp): Promise<void> {
  for await (const line of createInterface({ input: output })) if (expected.test(line)) return;
  assert.fail(`it ended, and said nothing like ${expected}`);
}
