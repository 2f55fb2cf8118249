// The short form; test/interop/kills.test.ts has the long one, with cfsctl looking on.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { KillBench } from '../support/faults/kills.js';
import { fastFolder } from '../support/fast-folder.js';

const ROUNDS = 12;
const seed = Number(process.env['CFSBRIDGE_SEED'] ?? Date.now() % 1_000_000);

let bench: KillBench;

before(async () => {
  bench = new KillBench(fastFolder);
  await bench.start();
});

after(() => bench[Symbol.asyncDispose]());

for (const victims of ['killClients', 'killServers'] as const)
  test(`${victims}: whatever moment it was, the repository is right and the next pull completes`, async (t) => {
    t.diagnostic(`seed ${seed}`);
    const { kills, during } = await bench[victims]({ rounds: ROUNDS, seed });
    assert.ok(during >= kills / 4, `only ${during} of ${kills} kills hit a pull`);
  });
