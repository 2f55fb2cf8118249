import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { bytesOf } from '../../src/bytes.js';
import { BeginningReader, type Beginning } from '../../src/fd/beginnings.js';
import { openDirectoryPath } from '../../src/fd/fd.js';
import { readAt } from '../../src/fd/read-file.js';
import { withoutLeak } from '../support/open-fds.js';
import { noise } from '../support/random.js';

const MOST = 4096;
const CONTENT = noise(10_000, 'content');
const SIZES = [0, 1, MOST - 1, MOST, MOST + 1, CONTENT.length];

const folder = mkdtempSync(join(tmpdir(), 'beginnings-'));
after(() => rmSync(folder, { recursive: true }));

before(() => {
  mkdirSync(join(folder, 'below'));
  for (const size of SIZES) writeFileSync(join(folder, `below/${size}`), CONTENT.subarray(0, size));
  symlinkSync('below/1', join(folder, 'link'));
  symlinkSync('below', join(folder, 'folder-link'));
  execFileSync('mkfifo', [join(folder, 'fifo')]);
});

/** Opens files at the same time, as whoever closes them soon. */
async function open(names: readonly string[], path = folder, most = MOST): Promise<PromiseSettledResult<Beginning>[]> {
  using dir = openDirectoryPath(bytesOf(path));
  const reader = new BeginningReader(dir, most);
  const opened = await Promise.allSettled(names.map((name) => reader.open(name)));
  for (const one of opened) if (one.status === 'fulfilled') one.value.fd?.close();
  return opened;
}

test('a file is all in its beginning, or goes on in a descriptor', async () => {
  await withoutLeak(async () => {
    using dir = openDirectoryPath(bytesOf(folder));
    const reader = new BeginningReader(dir, MOST);
    const opened = await Promise.all(SIZES.map((size) => reader.open(`below/${size}`)));
    for (const [index, { size, bytes, fd }] of opened.entries()) {
      using file = fd;
      assert.equal(size, SIZES[index]);
      assert.deepEqual(bytes, CONTENT.subarray(0, Math.min(size, MOST)));
      assert.equal(file === undefined, size <= MOST);
      if (file !== undefined) assert.deepEqual(readAt(file, 0, size), CONTENT.subarray(0, size));
    }
  });
});

const HOSTILE: readonly [what: string, name: string, code: string][] = [
  ['a name that is not there', 'missing', 'ENOENT'],
  ['a name in a folder that is not there', 'missing/1', 'ENOENT'],
  ['a name in a file', 'below/1/1', 'ENOTDIR'],
  ['a symlink', 'link', 'ELOOP'],
  ['a name behind a symlink', 'folder-link/1', 'ELOOP'],
  ['a name outside', '../1', 'EXDEV'],
  ['an absolute name', '/etc/passwd', 'EXDEV'],
  ['a FIFO, which nobody writes to', 'fifo', 'NOT_A_FILE'],
  ['a folder', 'below', 'NOT_A_FILE'],
  ['a socket', 'socket', 'ENXIO'],
];

test('what is wrong with one file is said of that one', async () => {
  const server = createServer().listen(join(folder, 'socket'));
  await new Promise((resolve) => server.once('listening', resolve));
  await withoutLeak(async () => {
    const names = HOSTILE.flatMap(([, name]) => [`below/${CONTENT.length}`, name, 'below/1']);
    const opened = await open(names);
    for (const [index, [what, name, code]] of HOSTILE.entries()) {
      const [large, wrong, small] = opened.slice(3 * index);
      assert.ok(large?.status === 'fulfilled' && small?.status === 'fulfilled', what);
      assert.deepEqual([large.value.bytes, small.value.bytes], [CONTENT.subarray(0, MOST), CONTENT.subarray(0, 1)]);
      assert.ok(wrong?.status === 'rejected', what);
      const { code: actual, message } = wrong.reason as NodeJS.ErrnoException;
      assert.equal(actual, code, what);
      assert.ok(message.includes(name), message);
    }
  });
  server.close();
});

test('hundreds that are asked for at the same time all come', async () => {
  await withoutLeak(async () => {
    const sizes = Array.from({ length: 333 }, (_, index) => SIZES[index % SIZES.length]!);
    const opened = await open(sizes.map((size) => `below/${size}`));
    assert.deepEqual(
      opened.map((one) => (one.status === 'fulfilled' ? one.value.size : one.reason)),
      sizes,
    );
  });
});

/** Its size is that of a page, whatever is in it. */
const SHORT = ['/sys/kernel', 'uevent_seqnum'] as const;
test('a file that is shorter than its size says', { skip: !existsSync(SHORT.join('/')) }, async () => {
  await withoutLeak(async () => {
    for (const most of [1000, MOST]) {
      const [one] = await open([SHORT[1]], SHORT[0], most);
      assert.ok(one?.status === 'rejected');
      assert.match((one.reason as Error).message, /^file ends \d+ bytes early/);
      assert.equal((one.reason as NodeJS.ErrnoException).code, 'SHORT_FILE');
    }
  });
});

test('a folder that was closed before they were opened is an error for each', async () => {
  const dir = openDirectoryPath(bytesOf(folder));
  const reader = new BeginningReader(dir, MOST);
  const opened = Promise.allSettled([reader.open('below/1'), reader.open('below/0')]);
  dir.close();
  for (const one of await opened)
    assert.match(one.status === 'rejected' ? (one.reason as Error).message : '', /descriptor was closed/);
});
