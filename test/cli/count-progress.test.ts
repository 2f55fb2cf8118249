import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { CountProgress } from '../../src/cli/count-progress.js';

async function shown(isTTY: boolean): Promise<string[]> {
  const written: string[] = [];
  {
    using progress = new CountProgress({ isTTY, write: (text: string) => written.push(text) > 0 });
    for (const objects of [1, 2, 3]) progress.show(objects);
    await setTimeout(150);
    progress.show(40);
  }
  return written;
}

test('a terminal shows how many objects are done, not too often, and is clean afterwards', async () => {
  assert.deepEqual(await shown(true), ['\r1 objects', '\r40 objects', '\r\x1b[K']);
});

test('a file gets nothing of it', async () => assert.deepEqual(await shown(false), []));
