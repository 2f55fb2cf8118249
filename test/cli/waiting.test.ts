import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { initRepository } from '../../src/repository/init.js';
import { TemporaryFolder } from '../support/filesystems.js';
import { cfsbridge } from '../support/cli/run-cli.js';

const cases: [command: string, lock: string, said: string][] = [
  ['gc', '--shared', 'waiting until nobody else uses'],
  ['images', '--exclusive', 'waiting for the garbage collection, repair or migration of'],
];
for (const [command, lock, said] of cases)
  test(`${command} says what it waits for`, async () => {
    using folder = new TemporaryFolder();
    initRepository(folder.path, { insecure: true });
    const holder = spawn('flock', [lock, folder.path, 'sh', '-c', 'echo locked; read line'], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    await once(holder.stdout, 'data');
    const waiting = spawn(cfsbridge, ['--repo', folder.path, command]);
    const talk = text(waiting.stderr);
    await once(waiting.stderr, 'data');
    holder.stdin.end();
    const [status] = (await once(waiting, 'exit')) as [number];
    assert.deepEqual([status, await talk], [0, `${said} ${folder.path}\n`]);
  });
