import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { openFds } from '../support/open-fds.js';

const module = new URL('../../src/fd/fd-passing.js', import.meta.url).href;

test('worker threads have their own readiness, and take it down, even in the middle of a wait', async () => {
  const run = async (end: string): Promise<void> => {
    const worker = new Worker(
      `import('${module}').then(async ({ socketpair, fromFd }) => {
        const [one, other] = socketpair().map((fd) => fromFd(fd));
        const waiting = one.receive();
        await new Promise((resolve) => setTimeout(resolve, 5));
        await other.send(Buffer.from('x'));
        const { bytes } = await waiting;
        const { parentPort } = require('node:worker_threads');
        parentPort.postMessage(bytes.toString());
        ${end}
      })`,
      { eval: true },
    );
    const exit = once(worker, 'exit');
    const [message] = (await once(worker, 'message')) as [string];
    assert.equal(message, 'x');
    if (end.includes('receive')) await worker.terminate();
    await exit;
  };
  await run('one.close(); other.close();');
  const descriptors = openFds().size;
  const threads = readdirSync('/proc/self/task').length;
  for (let i = 0; i < 5; i++) await run('one.close(); other.close();');
  assert.equal(openFds().size, descriptors);
  assert.ok(readdirSync('/proc/self/task').length <= threads);
  for (let i = 0; i < 5; i++) await run('one.receive();');
  assert.equal(openFds().size - descriptors, 10, 'only the sockets the killed workers owned are left');
});
