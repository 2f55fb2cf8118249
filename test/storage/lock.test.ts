import assert from 'node:assert/strict';
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { lockShared } from '../../src/storage/lock.js';
import { openDirectoryPath } from '../../src/fd/fd.js';

// Podman's kind of lock, by a program that is not ours: lockf is fcntl(F_SETLK) on the whole file.
const HOLD = `
import fcntl, sys
lock = open(sys.argv[1], "r+b")
fcntl.lockf(lock, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.readline()
`;
const TRY = `
import fcntl, sys
lock = open(sys.argv[1], "r+b")
try:
    fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    print("free")
except OSError:
    print("busy")
`;

let dir: string;
let path: string;

before(() => {
  dir = mkdtempSync(join(tmpdir(), 'store-lock-'));
  path = join(dir, 'layers.lock');
  writeFileSync(path, 'token one');
});

after(() => rmSync(dir, { recursive: true }));

async function holdExclusively(): Promise<ChildProcess> {
  const child = spawn('python3', ['-c', HOLD, path], { stdio: ['pipe', 'pipe', 'inherit'] });
  await once(child.stdout!, 'data');
  return child;
}

function writerFinds(): string {
  return spawnSync('python3', ['-c', TRY, path], { encoding: 'utf8' }).stdout.trim();
}

test('a lease keeps writers out until it is disposed', async () => {
  using folder = openDirectoryPath(dir);
  {
    using first = await lockShared(folder, 'layers.lock');
    assert.equal(writerFinds(), 'busy');
    {
      using second = await lockShared(folder, 'layers.lock');
      assert.equal(second.lastWrite(), first.lastWrite());
    }
    assert.equal(writerFinds(), 'busy', 'closing another descriptor of the file must not release the lock');
  }
  assert.equal(writerFinds(), 'free');
});

test('a writer makes readers wait, and not longer than they said', async () => {
  const writer = await holdExclusively();
  try {
    using folder = openDirectoryPath(dir);
    await assert.rejects(lockShared(folder, 'layers.lock', { timeout: 20 }), { code: 'STORE_BUSY' });

    const controller = new AbortController();
    const aborted = lockShared(folder, 'layers.lock', { signal: controller.signal });
    controller.abort(new Error('enough'));
    await assert.rejects(aborted, /enough/);

    const waiting = lockShared(folder, 'layers.lock');
    writer.stdin!.end('\n');
    using lock = await waiting;
    assert.equal(writerFinds(), 'busy');
    assert.equal(lock.lastWrite(), Buffer.from('token one').toString('hex'));
  } finally {
    writer.kill();
  }
});

test('a store without lock files can be read', async () => {
  using folder = openDirectoryPath(dir);
  using lock = await lockShared(folder, 'images.lock');
  assert.equal(lock.lastWrite(), undefined);
});
