import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { test } from 'node:test';
import { cfsbridge } from '../../support/cli/run-cli.js';
import { TemporaryFolder } from '../../support/filesystems.js';
import { cfsctl, whyNoPeers } from '../peers.js';
import { makeRepository } from '../repositories.js';
import { stateOf } from './state.js';

for (const signal of ['SIGTERM', 'SIGKILL'] as const)
  test(`transaction: holds the lock, says nothing, and a script sees the same status after ${signal}`, {
    skip: whyNoPeers(),
  }, async () => {
    const outcomes = [];
    for (const program of [cfsctl, cfsbridge]) {
      using folder = new TemporaryFolder();
      const repository = makeRepository(join(folder.path, 'repository'));
      // A shell between, as that is who turns a signal into a status.
      const shell = spawn(
        'bash',
        ['-c', '"$0" --repo "$1" transaction & echo $!; wait $!; exit $?', program, repository],
        { stdio: ['ignore', 'pipe', 'pipe'] },
      );
      let stdout = '';
      shell.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
      const ended = once(shell, 'close') as Promise<[number]>;
      const held = await isHeld(repository);
      while (!stdout.includes('\n')) await setTimeout(10);
      const free = spawnSync('flock', ['-sn', repository, 'true']).status === 0;
      spawnSync('kill', ['-s', signal.slice(3), stdout.trim()]);
      const [status] = await ended;
      outcomes.push({ held, free, status, lines: stdout.split('\n').length, state: stateOf(repository, 'sha512') });
    }
    assert.deepEqual(outcomes[1], outcomes[0]);
    assert.equal(outcomes[0]?.held, true);
  });

/** Waits until somebody holds the lock of a repository. */
async function isHeld(path: string): Promise<boolean> {
  for (const end = Date.now() + 10_000; Date.now() < end; await setTimeout(20))
    if (spawnSync('flock', ['-xn', path, 'true']).status !== 0) return true;
  return false;
}
