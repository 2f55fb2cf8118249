// The short form; test/interop/store-kills.test.ts has each step, with podman looking on.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fastFolder } from '../support/fast-folder.js';
import { StoreSteps } from '../support/faults/store-steps.js';

/** One step of so many is taken, and others the next time. */
const EVERY = 12;
const seed = Number(process.env['CFSBRIDGE_SEED'] ?? Date.now() % 1_000_000);
const skip = process.getuid?.() === 0 ? false : 'only root writes into a store';

test('a writer that is killed at any step leaves a store that can be read, and the next one clears it', {
  skip,
}, async (t) => {
  using steps = new StoreSteps(fastFolder);
  const count = steps.complete();
  t.diagnostic(`seed ${seed}, ${count} steps`);
  steps.checkClean();
  assert.ok(count > 100, `only ${count} steps`);
  for (let step = 1 + (seed % EVERY); step <= count; step += EVERY) {
    steps.reset();
    assert.ok(steps.killBefore(step), `there is no step ${step}`);
    await steps.check();
    steps.complete();
    await steps.check();
    steps.checkClean();
  }
});
