// Each step at which a writer of a containers-storage can be killed, with podman as the judge, and as the next writer.
import assert from 'node:assert/strict';
import { readdirSync, existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { StoreSteps } from '../support/faults/store-steps.js';
import { SharedFolder, whyNoPeers } from './peers.js';
import { TreeStore } from './written-store.js';

/** One step of so many is taken: CFSBRIDGE_EVERY=1 takes all, which takes ten minutes. */
const EVERY = Number(process.env['CFSBRIDGE_EVERY'] ?? 6);
const seed = Number(process.env['CFSBRIDGE_SEED'] ?? Date.now() % 1_000_000);

const list = (path: string): string[] => (existsSync(path) ? readdirSync(path) : []);

test('whatever the step: podman finds the store clean, and it and we go on with it', {
  skip: whyNoPeers(),
}, async (t) => {
  using folder = new SharedFolder();
  using steps = new StoreSteps(folder.path);
  const store = new TreeStore(folder, steps.inFolder);
  steps.reset();
  const count = steps.complete();
  t.diagnostic(`seed ${seed}, ${count} steps`);
  const save = ['save', '-q', '--format', 'oci-archive', '-o', `${folder.inside}/image.tar`, StoreSteps.image];
  store.podman(...save);
  for (let step = 1 + (seed % EVERY), round = 0; step <= count; step += EVERY, round++) {
    steps.reset();
    assert.ok(steps.killBefore(step), `there is no step ${step}`);
    await steps.check();
    // It says of an unfinished layer that it removes it.
    store.podman('images');
    assert.deepEqual(store.problems('--quick=false'), [], `before step ${step}`);
    await steps.check();
    // Whoever comes next puts the image, and nothing is left of the one that died.
    if (round % 2 === 0) steps.complete();
    else store.podman('load', '-q', '-i', `${folder.inside}/image.tar`);
    assert.deepEqual(store.problems('--quick=false'), [], `after step ${step}`);
    await steps.check();
    if (round % 2 === 0) steps.checkClean();
    store.podman('rmi', '-a', '-f');
    store.assertEmpty(list);
    assert.deepEqual(
      list(join(store.graphroot, 'overlay-layers')).filter((name) => name.includes('tar-split')),
      [],
    );
  }
});
