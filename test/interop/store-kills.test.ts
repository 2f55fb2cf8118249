// Pushes into a store that are killed, at random moments and at each kind of step: podman and our next writer find a
// clean store, whichever of them comes first. Then writers of ours beside podman, which lose nothing of each other.
// CFSBRIDGE_KILLS says how many kills, CFSBRIDGE_BUSY_SECONDS how long the writers go on.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { text } from 'node:stream/consumers';
import { cfsbridge } from '../support/cli/run-cli.js';
import { Layout, tarOf } from '../support/images/source-layout.js';
import { straysOf } from '../support/images/store-strays.js';
import { Random } from '../support/random.js';
import { peerCommand, peers, run, SharedFolder, succeed, whyNoPeers } from './peers.js';
import { makeRepository } from './repositories.js';
import { StoreOfPeers } from './store-judges.js';

const KILLS = Number(process.env['CFSBRIDGE_KILLS'] ?? 10);
const BUSY_SECONDS = Number(process.env['CFSBRIDGE_BUSY_SECONDS'] ?? 10);
const seed = Number(process.env['CFSBRIDGE_SEED'] ?? 1 + (Date.now() % 1_000_000));

/** What a writer does to a store, by system call; each of them is a step that it can die before. */
const STEPS = [
  ...['mkdirat', 'renameat2', 'renameat', 'rename', 'symlinkat', 'unlinkat', 'fsync', 'syncfs', 'fcntl'],
  ...['openat2', 'fchownat', 'utimensat', 'ioctl', 'pwrite64'],
];
const hasStrace = run('strace', ['--version']).status === 0;

interface Ended {
  status: number | null;
  said: string;
}

/** Runs a program beside others. */
async function beside(command: readonly string[]): Promise<Ended> {
  const [program = '', ...args] = command;
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  const said = text(child.stderr);
  const [status] = (await once(child, 'close')) as [number | null];
  return { status, said: await said };
}

describe('writers of a store', { skip: whyNoPeers() }, () => {
  let folder: SharedFolder;
  let repository: string;
  let store: StoreOfPeers;
  const random = new Random(seed);
  const pushed = (image: string, to: StoreOfPeers = store): string[] => [
    ...['--repo', repository, 'oci', 'push', image],
    `${to.here}localhost/${image}:latest`,
  ];

  before(() => {
    folder = new SharedFolder();
    store = new StoreOfPeers(relative(join(peers, 'share'), join(folder.path, 'store')));
    const layout = new Layout(join(folder.path, 'layout'));
    const tar = (name: string): Buffer => {
      const files = Array.from({ length: 40 }, (_, i) => [
        `${name}-${i}`,
        Buffer.alloc(i * 3000 + 20, `${name} ${i} `),
      ]);
      return tarOf(Object.fromEntries(files) as Record<string, Buffer>);
    };
    const image = (...layers: string[]): ReturnType<Layout['image']> =>
      layout.image(layers.map((name) => ({ tar: tar(name) })));
    layout.publish({
      kept: image('base', 'kept'),
      it: image('base', 'first', 'second', 'third'),
      other: image('base', 'first', 'other'),
      alone: image('alone', 'second'),
    });
    repository = makeRepository(join(folder.path, 'repository'), 'sha256');
    for (const name of ['kept', 'it', 'other', 'alone'])
      succeed(cfsbridge, ['--repo', repository, 'oci', 'pull', `oci:${layout.path}:${name}`, name]);
    succeed(cfsbridge, pushed('kept'));
  });
  after(() => folder[Symbol.dispose]());

  const names = (): string[] =>
    store
      .list('sid')
      .flatMap((image) => image.names)
      .sort();

  /** How often each thread does each step in a push that nobody disturbs. */
  function countSteps(to: StoreOfPeers): Map<string, number> {
    const trace = join(folder.path, 'trace');
    succeed('strace', ['-f', '-qq', '-o', trace, '-e', `trace=${STEPS.join(',')}`, cfsbridge, ...pushed('it', to)]);
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
    assert.deepEqual(names(), [...expected].sort());
    assert.equal(store.podman('sid', 'system', 'check'), '');
  }

  function pushAgain(what: string): void {
    succeed(cfsbridge, pushed('it'));
    assert.deepEqual(straysOf(store.path), [], `after our next writer, ${what}`);
  }

  test(`${KILLS} kills of pushes leave a store that is clean for whoever comes next`, async (t) => {
    t.diagnostic(`seed ${seed}, set CFSBRIDGE_SEED to have it again`);
    const kept = ['localhost/kept:latest'];
    const both = [...kept, 'localhost/it:latest'];
    const start = performance.now();
    succeed(cfsbridge, pushed('it'));
    const length = performance.now() - start;
    store.podman('sid', 'rmi', 'localhost/it:latest');
    const steps = hasStrace ? countSteps(store) : new Map<string, number>();
    if (hasStrace) store.podman('sid', 'rmi', 'localhost/it:latest');
    const killed = new Map<string, number>();
    for (let round = 0; round < KILLS; round++) {
      const atStep = round % 2 === 1 && steps.size > 0;
      const [step, most] = [...steps][(round >> 1) % Math.max(steps.size, 1)] ?? ['', 0];
      const when = 1 + random.upTo(most);
      const what = atStep ? `killed before ${step} ${when}` : 'killed at a random moment';
      const { status } = atStep ? await killAt(step, when) : await killWithin(length);
      if (status === 0) store.podman('sid', 'rmi', 'localhost/it:latest');
      else killed.set(atStep ? step : 'moment', (killed.get(atStep ? step : 'moment') ?? 0) + 1);
      // An image that was there already when the push was killed is as good.
      const podmanFirst = round % 4 < 2;
      if (podmanFirst) {
        const there = names();
        assert.ok(there.includes(kept[0]!), `podman lists ${there.join(' ')}, ${what}`);
        assert.deepEqual(
          there.filter((name) => !both.includes(name)),
          [],
        );
        assert.equal(store.podman('sid', 'system', 'check'), '', what);
      }
      pushAgain(what);
      assertClean(both);
      store.podman('sid', 'rmi', 'localhost/it:latest');
    }
    assertClean(kept);
    t.diagnostic(`killed before it ended: ${[...killed].map(([step, count]) => `${step} ${count}`).join(', ')}`);
  });

  async function killAt(step: string, when: number): Promise<Ended> {
    const inject = ['-e', `trace=${step}`, '-e', `inject=${step}:signal=KILL:when=${when}`];
    return await beside(['strace', '-f', '-qq', '-o', '/dev/null', ...inject, cfsbridge, ...pushed('it')]);
  }

  async function killWithin(length: number): Promise<Ended> {
    const child = spawn(cfsbridge, pushed('it'), { stdio: 'ignore' });
    const timer = setTimeout(() => child.kill('SIGKILL'), random.upTo(Math.ceil(length)));
    const [status] = (await once(child, 'close')) as [number | null];
    clearTimeout(timer);
    return { status, said: '' };
  }

  test(`two writers of ours beside podman for ${BUSY_SECONDS} seconds`, async (t) => {
    const end = performance.now() + BUSY_SECONDS * 1000;
    const did = new Map<string, number>();
    const odd: string[] = [];
    const context = join(folder.path, 'context');
    mkdirSync(context);
    writeFileSync(join(context, 'file'), 'built');
    writeFileSync(join(context, 'Containerfile'), 'FROM localhost/kept:latest\nCOPY file /file\n');
    const inside = (path: string): string => `/share/${relative(join(peers, 'share'), path)}`;

    /** Runs commands in turn until the time is over. @param may what may go wrong, because others remove images */
    async function loop(who: string, commands: readonly string[][], may: RegExp): Promise<void> {
      for (let i = 0; performance.now() < end; i++) {
        const { status, said } = await beside(commands[i % commands.length] as string[]);
        const outcome = status === 0 ? 'done' : may.test(said) ? 'too late' : 'failed';
        if (outcome === 'failed') odd.push(`${who}: ${status} ${said}`);
        did.set(`${who} ${outcome}`, (did.get(`${who} ${outcome}`) ?? 0) + 1);
      }
    }

    const ours = (images: readonly string[]): string[][] => images.map((image) => [cfsbridge, ...pushed(image)]);
    const copy = (name: string): string[] =>
      peerCommand('sid', [
        ...['skopeo', '--insecure-policy', 'copy', '--quiet'],
        ...[`oci:${inside(join(folder.path, 'layout'))}:${name}`, `${store.inTree}localhost/${name}:latest`],
      ]);
    const remove = (name: string): string[] =>
      store.command('sid', 'podman', 'rmi', '--force', `localhost/${name}:latest`);
    const build = store.command(
      'sid',
      'buildah',
      'build',
      '--quiet',
      '--pull=never',
      '--no-cache',
      '--tag',
      'localhost/built',
      inside(context),
    );
    await Promise.all([
      loop('ours', ours(['it', 'other', 'alone']), /is not in the store(?:, or not)? any more/),
      loop('ours too', ours(['alone', 'it', 'kept']), /is not in the store(?:, or not)? any more/),
      loop('skopeo', [copy('other'), copy('it'), copy('alone')], /layer not known|image not known|no such file/),
      loop('podman', [remove('it'), remove('alone'), remove('other')], /not known|in use|layer .* has/),
      loop('buildah', [build], /$^/),
    ]);
    t.diagnostic([...did].map(([what, count]) => `${what}: ${count}`).join(', '));
    assert.deepEqual(odd, []);
    for (const image of ['it', 'other', 'alone']) succeed(cfsbridge, pushed(image));
    assert.deepEqual(straysOf(store.path), []);
    const listed = names().filter((name) => name !== 'localhost/built:latest');
    assert.deepEqual(
      listed,
      ['alone', 'it', 'kept', 'other'].map((name) => `localhost/${name}:latest`),
    );
    assert.equal(store.podman('sid', 'system', 'check'), '');
  });
});
