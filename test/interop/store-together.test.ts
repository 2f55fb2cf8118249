// Several programs that write into one containers-storage at the same time, and lose nothing of each other.
// CFSBRIDGE_BUSY_SECONDS says how long the ones go on that do so all the time.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { StoreSteps } from '../support/faults/store-steps.js';
import { straysOf } from '../support/images/store-strays.js';
import { peerCommand, SharedFolder, whyNoPeers } from './peers.js';
import { StoreOfPeers } from './store-of-peers.js';
import { StorePushes, type PushedImage } from './store-pushes.js';

const ROUNDS = 6;
const BUSY_SECONDS = Number(process.env['CFSBRIDGE_BUSY_SECONDS'] ?? 10);

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

/** Waits for a program, which has to succeed. */
async function succeeds([program = '', ...args]: readonly string[]): Promise<void> {
  const { status, said } = await beside([program, ...args]);
  assert.equal(status, 0, `${program} ${args.join(' ')}: ${said}`);
}

test('two writers of one image, and podman that loads it', { skip: whyNoPeers() }, async () => {
  using folder = new SharedFolder();
  using steps = new StoreSteps(folder.path);
  const store = new StoreOfPeers(steps.graphroot);
  steps.reset();
  steps.complete();
  const tar = `${folder.path}/image.tar`;
  store.podman('save', '-q', '--format', 'oci-archive', '-o', tar, StoreSteps.image);
  const podman = (...args: string[]): Promise<void> => succeeds(store.command('podman', ...args));
  for (let round = 0; round < ROUNDS; round++) {
    if (round % 2 === 0) steps.reset();
    else store.podman('rmi', '-a', '-f');
    await Promise.all([steps.command, steps.command].map(succeeds).concat(podman('load', '-q', '-i', tar)));
    assert.deepEqual(store.problems(), []);
    await steps.check();
    steps.checkClean();
  }
});

test('a writer, and podman that removes what it finds', { skip: whyNoPeers() }, async () => {
  using folder = new SharedFolder();
  using steps = new StoreSteps(folder.path);
  const store = new StoreOfPeers(steps.graphroot);
  steps.reset();
  steps.complete();
  let gone = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const writing = succeeds(steps.command).catch((error: unknown) => {
      // A layer without an image is nobody's, and podman removes those as well.
      assert.match(String(error), /LAYER_GONE|not in the store any more/);
      gone++;
    });
    const removing = succeeds(store.command('podman', 'rmi', '-a', '-f'));
    await Promise.all([writing, removing]);
    assert.deepEqual(store.problems(), []);
    await steps.check();
  }
  assert.ok(gone < ROUNDS, 'each round');
  steps.complete();
  steps.checkClean();
  store.podman('rmi', '-a', '-f');
  store.assertEmpty();
});

test(`two writers of ours beside podman for ${BUSY_SECONDS} seconds`, { skip: whyNoPeers() }, async (t) => {
  using pushes = new StorePushes();
  const { store, folder } = pushes;
  const end = performance.now() + BUSY_SECONDS * 1000;
  const did = new Map<string, number>();
  const odd: string[] = [];
  const context = join(folder.path, 'context');
  mkdirSync(context);
  writeFileSync(join(context, 'file'), 'built');
  writeFileSync(join(context, 'Containerfile'), 'FROM localhost/kept:latest\nCOPY file /file\n');

  /** Runs commands in turn until the time is over. @param may what may go wrong, because others remove images */
  async function loop(who: string, commands: readonly string[][], may: RegExp): Promise<void> {
    for (let i = 0; performance.now() < end; i++) {
      const { status, said } = await beside(commands[i % commands.length] as string[]);
      const outcome = status === 0 ? 'done' : may.test(said) ? 'too late' : 'failed';
      if (outcome === 'failed') odd.push(`${who}: ${status} ${said}`);
      did.set(`${who} ${outcome}`, (did.get(`${who} ${outcome}`) ?? 0) + 1);
    }
  }

  const ours = (images: readonly PushedImage[]): string[][] => images.map((image) => pushes.command(image));
  const copy = (name: PushedImage): string[] =>
    peerCommand('sid', [
      ...['skopeo', '--insecure-policy', 'copy', '--quiet'],
      ...[`oci:${pushes.layout.path}:${name}`, store.reference(pushes.name(name))],
    ]);
  const remove = (name: PushedImage): string[] => store.command('podman', 'rmi', '--force', pushes.name(name));
  const build = store.buildCommand('localhost/built', context, '--no-cache');
  await Promise.all([
    loop('ours', ours(['it', 'other', 'alone']), /is not in the store(?:, or not)? any more/),
    loop('ours too', ours(['alone', 'it', 'kept']), /is not in the store(?:, or not)? any more/),
    loop('skopeo', [copy('other'), copy('it'), copy('alone')], /layer not known|image not known|no such file/),
    loop('podman', [remove('it'), remove('alone'), remove('other')], /not known|in use|layer .* has/),
    loop('buildah', [build], /$^/),
  ]);
  t.diagnostic([...did].map(([what, count]) => `${what}: ${count}`).join(', '));
  assert.deepEqual(odd, []);
  for (const image of ['it', 'other', 'alone'] as const) pushes.push(image);
  assert.deepEqual(straysOf(store.graphroot), []);
  const listed = pushes.listed().filter((name) => name !== 'localhost/built:latest');
  assert.deepEqual(
    listed,
    ['alone', 'it', 'kept', 'other'].map((name) => `localhost/${name}:latest`),
  );
  assert.equal(store.podman('system', 'check'), '');
});
