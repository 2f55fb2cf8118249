import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { after, before, test } from 'node:test';
import { initRepository } from '../../../src/repository/init.js';
import { unpackSmallStore, type SmallStore } from '../../support/images/small-store.js';
import { assertNothingLost, TagLedger, Worker } from '../../support/faults/gc-workers.js';

let store: SmallStore;
before(() => {
  store = unpackSmallStore();
});
after(() => store.remove());

function newRepository(): string {
  const path = join(store.graphroot, 'repository');
  rmSync(path, { recursive: true, force: true });
  initRepository(path, { insecure: true });
  return path;
}

test('pulls, tags and garbage collections at the same time lose nothing', async () => {
  const path = newRepository();
  const ledger = new TagLedger();
  const workers = ['pull,pull,untag,tag', 'pull,untag', 'gc'].map(
    (work, slot) => new Worker(path, store.graphroot, `w${slot}`, slot + 1, work, ledger),
  );
  await Promise.all(workers.map(({ ready }) => ready));
  const { done } = ledger;
  const start = Date.now();
  await setTimeout(2500);
  // On a busy machine one round of them takes longer.
  while ((done.tag === 0 || done.gc === 0) && Date.now() - start < 60_000) await setTimeout(100);
  for (const worker of workers) await worker.kill();
  await assertNothingLost(path, ledger);
  assert.ok(done.tag > 0 && done.gc > 0, JSON.stringify(done));
});

test('workers killed at random moments leave a sound repository with all tags', async () => {
  const path = newRepository();
  const ledger = new TagLedger();
  for (let round = 0; round < 4; round++) {
    const workers = ['pull,tag,untag,gc', 'pull,gc'].map(
      (work, slot) => new Worker(path, store.graphroot, `w${slot}`, 10 * round + slot + 1, work, ledger),
    );
    await Promise.all(
      workers.map(async (worker, slot) => {
        await worker.ready;
        await setTimeout(60 + 70 * round + 40 * slot);
        await worker.kill();
      }),
    );
    await assertNothingLost(path, ledger);
  }
});
