// Several programs that write into one containers-storage at the same time.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { existsSync, readdirSync } from 'node:fs';
import { test } from 'node:test';
import { StoreSteps } from '../support/faults/store-steps.js';
import { peerCommand, SharedFolder, whyNoPeers } from './peers.js';
import { TreeStore } from './written-store.js';

const ROUNDS = 6;

/** Waits for a program, which has to succeed. */
async function succeeds([program = '', ...args]: readonly string[]): Promise<void> {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const [said, [status]] = await Promise.all([text(child.stderr), once(child, 'close'), text(child.stdout)]);
  assert.equal(status, 0, `${program} ${args.join(' ')}: ${said}`);
}

test('two writers of one image, and podman that loads it', { skip: whyNoPeers() }, async () => {
  using folder = new SharedFolder();
  using steps = new StoreSteps(folder.path);
  const store = new TreeStore(folder, steps.inFolder);
  steps.reset();
  steps.complete();
  const tar = `${folder.inside}/image.tar`;
  store.podman('save', '-q', '--format', 'oci-archive', '-o', tar, StoreSteps.image);
  const podman = (...args: string[]): Promise<void> =>
    succeeds(peerCommand('sid', [...store.command('podman'), ...args]));
  for (let round = 0; round < ROUNDS; round++) {
    if (round % 2 === 0) steps.reset();
    else store.podman('rmi', '-a', '-f');
    await Promise.all([steps.command, steps.command].map(succeeds).concat(podman('load', '-q', '-i', tar)));
    assert.deepEqual(store.problems('--quick=false'), []);
    await steps.check();
    steps.checkClean();
  }
});

test('a writer, and podman that removes what it finds', { skip: whyNoPeers() }, async () => {
  using folder = new SharedFolder();
  using steps = new StoreSteps(folder.path);
  const store = new TreeStore(folder, steps.inFolder);
  steps.reset();
  steps.complete();
  let gone = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const writing = succeeds(steps.command).catch((error: unknown) => {
      // A layer without an image is nobody's, and podman removes those as well.
      assert.match(String(error), /LAYER_GONE|not in the store any more/);
      gone++;
    });
    const removing = succeeds(peerCommand('sid', [...store.command('podman'), 'rmi', '-a', '-f']));
    await Promise.all([writing, removing]);
    assert.deepEqual(store.problems('--quick=false'), []);
    await steps.check();
  }
  assert.ok(gone < ROUNDS, 'each round');
  steps.complete();
  steps.checkClean();
  store.podman('rmi', '-a', '-f');
  store.assertEmpty((path) => (existsSync(path) ? readdirSync(path) : []));
});
