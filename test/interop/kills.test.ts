// A hundred clients and a hundred servers killed at random moments, with cfsctl's fsck as the second judge.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { KillBench } from '../support/faults/kills.js';
import { fastFolder } from '../support/fast-folder.js';

const ROUNDS = 100;
const seed = Number(process.env['CFSBRIDGE_SEED'] ?? Date.now() % 1_000_000);
const cfsctl = join(process.env['CFSBRIDGE_PEERS'] ?? '/var/tmp/peers', 'bin/cfsctl');
const skip = existsSync(cfsctl) ? false : 'cfsctl is not there; scripts/peers.sh installs it';

let bench: KillBench;

before(async () => {
  bench = new KillBench(fastFolder);
  await bench.start();
});

after(() => bench[Symbol.asyncDispose]());

function fsck(repository: string): void {
  const { status, stdout, stderr } = spawnSync(cfsctl, ['--repo', repository, 'fsck'], { encoding: 'utf8' });
  assert.equal(status, 0, `${stdout}${stderr}`);
}

for (const victims of ['killClients', 'killServers'] as const)
  test(`${victims}: cfsctl finds nothing wrong after any of ${ROUNDS} kills`, { skip }, async (t) => {
    t.diagnostic(`seed ${seed}, set CFSBRIDGE_SEED to have it again`);
    const { kills, during } = await bench[victims]({ rounds: ROUNDS, seed, check: fsck });
    t.diagnostic(`${during} of ${kills} kills hit a pull`);
    assert.ok(during >= kills / 4, `only ${during} of ${kills} kills hit a pull`);
  });
