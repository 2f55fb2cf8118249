// An ordinary user's pushes, copies and pulls that are killed at random moments: by SIGKILL to the process that was
// started, to the one in the user namespace, to both, or by Ctrl-C. Whatever dies, no process stays, and the user's
// podman and our next command find everything clean, whichever of them comes first.
// CFSBRIDGE_KILLS says how many kills.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { cfsbridge } from '../support/cli/run-cli.js';
import { straysOf } from '../support/images/store-strays.js';
import { Random } from '../support/random.js';
import { whyNoRootlessUser, type Surroundings } from '../support/rootless-user.js';
import { whyNoPeers } from './peers.js';
import { assertSound } from './repositories.js';
import { MAPPED, placeOf, podmanOn, RootlessPeers, WAYS } from './rootless-peers.js';

const KILLS = Number(process.env['CFSBRIDGE_KILLS'] ?? 20);
const seed = Number(process.env['CFSBRIDGE_SEED'] ?? 1 + (Date.now() % 1_000_000));
/** Milliseconds in which everything has to be gone. */
const LINGER = 10_000;

const VICTIMS = ['outer', 'inner', 'both', 'Ctrl-C'] as const;
const ABOVE = 'localhost/above:1';
const COPY = 'localhost/copy:1';
const KEPT = 'localhost/kept:1';

describe("an ordinary user's commands that are killed", { skip: whyNoPeers() || whyNoRootlessUser() }, () => {
  let peer: RootlessPeers;
  let store: string;
  /** what is pushed */
  let repository: string;
  /** what is pulled into */
  let other: string;
  let commands: Record<'push' | 'copy' | 'pull', string[]>;
  const random = new Random(seed);

  before(() => {
    peer = new RootlessPeers();
    store = peer.newPath('store');
    [repository, other] = [peer.newRepository(), peer.newRepository()];
    const copies = [1000, 2000, 3000].map((id) => `COPY --chown=${id}:7 files /above/${id}/`);
    const files = join(peer.context('above', [`FROM ${MAPPED}`, ...copies, ''].join('\n')), 'files');
    mkdirSync(files);
    for (let i = 0; i < 40; i++) writeFileSync(join(files, `${i}`), Buffer.alloc(i * 3000 + 20, `file ${i} `));
    peer.build('above', ABOVE, '--layers');
    peer.succeed(['--repo', repository, 'oci', 'pull', `containers-storage:${ABOVE}`, 'it']);
    peer.succeed(['copy', `containers-storage:${MAPPED}`, placeOf(store) + KEPT]);
    commands = {
      push: ['--repo', repository, 'oci', 'push', 'it', placeOf(store) + COPY],
      copy: ['copy', `containers-storage:${ABOVE}`, placeOf(store) + COPY],
      pull: ['--repo', other, 'oci', 'pull', `containers-storage:${ABOVE}`, 'it'],
    };
  });
  after(() => peer[Symbol.dispose]());

  test(`${KILLS} kills leave nothing behind`, async (t) => {
    t.diagnostic(`seed ${seed}, set CFSBRIDGE_SEED to have it again`);
    const counts = new Map<string, number>();
    const lengths = new Map<string, number>();
    for (let round = 0; round < KILLS; round++) {
      const victim = VICTIMS[round % VICTIMS.length] as (typeof VICTIMS)[number];
      const [how, surroundings] = WAYS[(round >> 2) % WAYS.length]!;
      const kind = (['push', 'copy', 'push', 'pull', 'copy'] as const)[round % 5]!;
      const key = `${kind} ${how}`;
      if (!lengths.has(key)) {
        const start = performance.now();
        peer.succeed(commands[kind], surroundings);
        lengths.set(key, performance.now() - start);
        undo(kind);
      }
      const moment = random.upTo(Math.ceil(lengths.get(key)!));
      const what = `${kind} ${how}: ${victim} after ${moment} ms`;
      const ended = await killed(commands[kind], surroundings, victim, moment);
      if (ended.status !== 0) counts.set(`${kind}, ${victim}`, (counts.get(`${kind}, ${victim}`) ?? 0) + 1);
      // The outer process tells what became of the other one.
      if (victim === 'inner' && ended.status !== 0)
        assert.match(ended.said, /in the user namespace: .*|Error: /, `${what}: ${ended.said}`);
      await nothingStays(what);
      if (kind === 'pull') {
        assertSound(other);
        peer.succeed(commands.pull, surroundings);
        assertSound(other);
      } else {
        // Every other time podman comes first, and our next writer after it.
        if (random.upTo(1) === 0) judge([KEPT], what);
        peer.succeed(commands[kind], surroundings);
        assert.deepEqual(straysOf(store), [], what);
        judge([COPY, KEPT], what);
      }
      undo(kind);
    }
    peer.succeed(['--repo', repository, 'fsck']);
    t.diagnostic(`killed before it ended: ${[...counts].map((count) => count.join(' ')).join('; ')}`);
  });

  /** podman lists at least these images, and its check finds nothing. */
  function judge(expected: readonly string[], what: string): void {
    const script = '"$@" images --format "{{.Repository}}:{{.Tag}}"; "$@" system check';
    const lines = peer
      .inTree('sh', '-ec', script, 'sh', ...podmanOn(store))
      .split('\n')
      .filter(Boolean);
    const others = lines.filter((line) => line !== COPY && line !== KEPT);
    assert.deepEqual(others, [], what);
    for (const name of expected) assert.ok(lines.includes(name), `${what}: podman lists ${lines.join(' ')}`);
  }

  function undo(kind: keyof typeof commands): void {
    if (kind !== 'pull') {
      peer.inTree(...podmanOn(store), 'rmi', '--force', COPY);
      return;
    }
    peer.succeed(['--repo', other, 'oci', 'untag', 'it']);
    peer.succeed(['--repo', other, 'gc']);
  }

  async function killed(
    args: readonly string[],
    surroundings: Surroundings,
    victim: (typeof VICTIMS)[number],
    moment: number,
  ): Promise<{ status: number | null; said: string }> {
    const [program = '', ...rest] = peer.user.command([cfsbridge, ...args], surroundings);
    // In a process group of its own, as a shell has it.
    const child = spawn(program, rest, { stdio: ['ignore', 'ignore', 'pipe'], detached: true });
    const said = text(child.stderr);
    const exit = once(child, 'exit');
    const isOver = (): boolean => child.exitCode !== null || child.signalCode !== null;
    await Promise.race([sleep(moment), exit]);
    let inner = victim === 'inner' || victim === 'both' ? processes(isInside) : [];
    while (victim === 'inner' && inner.length === 0 && !isOver()) {
      await sleep(5);
      inner = processes(isInside);
    }
    for (const pid of inner) signalTo(Number(pid), 'SIGKILL');
    if (victim === 'Ctrl-C') signalTo(-child.pid!, 'SIGINT');
    if (victim === 'outer' || victim === 'both') child.kill('SIGKILL');
    const [status] = (await exit) as [number | null];
    return { status, said: await said };
  }

  /** No process with the user's surroundings is left but podman's. */
  async function nothingStays(what: string): Promise<void> {
    const pause = readFileSync(join(peer.user.runtime, 'libpod/tmp/pause.pid'), 'utf8').trim();
    const others = (): string[] => processes((pid) => pid !== pause);
    for (const end = performance.now() + LINGER; others().length > 0 && performance.now() < end; ) await sleep(20);
    assert.deepEqual(others().map(wordsOf), [], what);
  }

  /** Processes of the user, by their environment. */
  function processes(isMeant: (pid: string) => boolean): string[] {
    const home = `HOME=${peer.user.home}`;
    return readdirSync('/proc').filter(
      (pid) => /^\d+$/.test(pid) && readProcess(pid, 'environ').includes(home) && isMeant(pid),
    );
  }
});

function isInside(pid: string): boolean {
  return wordsOf(pid).includes('inside-user-namespace');
}

function wordsOf(pid: string): string[] {
  return readProcess(pid, 'cmdline');
}

function readProcess(pid: string, file: 'environ' | 'cmdline'): string[] {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'latin1').split('\0');
  } catch {
    // it has just ended
    return [];
  }
}

function signalTo(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // it has just ended
  }
}
