// Writers of a store that are killed, at random moments, at each kind of system call, and before each thing that they do
// to the disk: podman and our next writer find a clean store, whichever of them comes first.
// CFSBRIDGE_KILLS says how many kills; CFSBRIDGE_EVERY=1 takes each thing done, which takes ten minutes.
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { StoreSteps } from '../support/faults/store-steps.js';
import { straysOf } from '../support/images/store-strays.js';
import { Random } from '../support/random.js';
import { run, SharedFolder, succeed, whyNoPeers } from './peers.js';
import { StoreOfPeers } from './store-of-peers.js';
import { StorePushes } from './store-pushes.js';

const KILLS = Number(process.env['CFSBRIDGE_KILLS'] ?? 10);
/** One thing of so many is taken. */
const EVERY = Number(process.env['CFSBRIDGE_EVERY'] ?? 6);
const seed = Number(process.env['CFSBRIDGE_SEED'] ?? 1 + (Date.now() % 1_000_000));

/** What a writer does to a store, by system call; each of them is a step that it can die before. */
const STEPS = [
  ...['mkdirat', 'renameat2', 'renameat', 'rename', 'symlinkat', 'unlinkat', 'fsync', 'syncfs', 'fcntl'],
  ...['openat2', 'fchownat', 'utimensat', 'ioctl', 'pwrite64'],
];
const hasStrace = run('strace', ['--version']).status === 0;

describe('pushes into a store', { skip: whyNoPeers() }, () => {
  let pushes: StorePushes;
  let store: StoreOfPeers;
  const random = new Random(seed);
  before(() => {
    pushes = new StorePushes();
    ({ store } = pushes);
  });
  after(() => pushes[Symbol.dispose]());

  /** How often each thread does each step in a push that nobody disturbs. */
  function countSteps(): Map<string, number> {
    const trace = join(pushes.folder.path, 'trace');
    succeed('strace', ['-f', '-qq', '-o', trace, '-e', `trace=${STEPS.join(',')}`, ...pushes.command('it')]);
    const counts = new Map<string, number>();
    for (const [, thread, step] of readFileSync(trace, 'latin1').matchAll(/^(\d+) +(\w+)\(/gm)) {
      const key = `${step} ${thread}`;
      counts.set(key, (counts.get(key) ?? 0) + 1);
    }
    const most = new Map<string, number>();
    for (const [key, count] of counts) {
      const step = key.split(' ')[0] as string;
      most.set(step, Math.max(most.get(step) ?? 0, count));
    }
    return most;
  }

  /** podman sees the images it should see, and its check finds nothing. */
  function assertClean(expected: readonly string[]): void {
    assert.deepEqual(pushes.listed(), [...expected].sort());
    assert.equal(store.podman('system', 'check'), '');
  }

  function pushAgain(what: string): void {
    pushes.push('it');
    assert.deepEqual(straysOf(store.graphroot), [], `after our next writer, ${what}`);
  }

  test(`${KILLS} kills of pushes leave a store that is clean for whoever comes next`, async (t) => {
    t.diagnostic(`seed ${seed}, set CFSBRIDGE_SEED to have it again`);
    const kept = ['localhost/kept:latest'];
    const both = [...kept, 'localhost/it:latest'];
    const start = performance.now();
    pushes.push('it');
    const length = performance.now() - start;
    store.podman('rmi', 'localhost/it:latest');
    const steps = hasStrace ? countSteps() : new Map<string, number>();
    if (hasStrace) store.podman('rmi', 'localhost/it:latest');
    const killed = new Map<string, number>();
    for (let round = 0; round < KILLS; round++) {
      const atStep = round % 2 === 1 && steps.size > 0;
      const [step, most] = [...steps][(round >> 1) % Math.max(steps.size, 1)] ?? ['', 0];
      const when = 1 + random.upTo(most);
      const what = atStep ? `killed before ${step} ${when}` : 'killed at a random moment';
      const status = atStep ? await killAt(step, when) : await killWithin(length);
      if (status === 0) store.podman('rmi', 'localhost/it:latest');
      else killed.set(atStep ? step : 'moment', (killed.get(atStep ? step : 'moment') ?? 0) + 1);
      // An image that was there already when the push was killed is as good.
      const podmanFirst = round % 4 < 2;
      if (podmanFirst) {
        const there = pushes.listed();
        assert.ok(there.includes(kept[0]!), `podman lists ${there.join(' ')}, ${what}`);
        assert.deepEqual(
          there.filter((name) => !both.includes(name)),
          [],
        );
        assert.equal(store.podman('system', 'check'), '', what);
      }
      pushAgain(what);
      assertClean(both);
      store.podman('rmi', 'localhost/it:latest');
    }
    assertClean(kept);
    t.diagnostic(`killed before it ended: ${[...killed].map(([step, count]) => `${step} ${count}`).join(', ')}`);
  });

  async function killAt(step: string, when: number): Promise<number | null> {
    const inject = ['-e', `trace=${step}`, '-e', `inject=${step}:signal=KILL:when=${when}`];
    return await statusOf(spawn('strace', ['-f', '-qq', '-o', '/dev/null', ...inject, ...pushes.command('it')], QUIET));
  }

  async function killWithin(length: number): Promise<number | null> {
    const [program = '', ...args] = pushes.command('it');
    const child = spawn(program, args, QUIET);
    const timer = setTimeout(() => child.kill('SIGKILL'), random.upTo(Math.ceil(length)));
    const status = await statusOf(child);
    clearTimeout(timer);
    return status;
  }
});

const QUIET = { stdio: 'ignore' } as const;

async function statusOf(child: ChildProcess): Promise<number | null> {
  const [status] = (await once(child, 'close')) as [number | null];
  return status;
}

test('before whatever a writer does to the disk: podman finds the store clean, and it and we go on with it', {
  skip: whyNoPeers(),
}, async (t) => {
  using folder = new SharedFolder();
  using steps = new StoreSteps(folder.path);
  const store = new StoreOfPeers(steps.graphroot);
  steps.reset();
  const count = steps.complete();
  t.diagnostic(`seed ${seed}, ${count} steps`);
  const save = ['save', '-q', '--format', 'oci-archive', '-o', `${folder.path}/image.tar`, StoreSteps.image];
  store.podman(...save);
  for (let step = 1 + (seed % EVERY), round = 0; step <= count; step += EVERY, round++) {
    steps.reset();
    assert.ok(steps.killBefore(step), `there is no step ${step}`);
    await steps.check();
    // It says of an unfinished layer that it removes it.
    store.podman('images');
    assert.deepEqual(store.problems(), [], `before step ${step}`);
    await steps.check();
    // Whoever comes next puts the image, and nothing is left of the one that died.
    if (round % 2 === 0) steps.complete();
    else store.podman('load', '-q', '-i', `${folder.path}/image.tar`);
    assert.deepEqual(store.problems(), [], `after step ${step}`);
    await steps.check();
    if (round % 2 === 0) steps.checkClean();
    store.podman('rmi', '-a', '-f');
    store.assertEmpty();
  }
});
