import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { openDirectoryPath } from '../../../src/fd/fd.js';
import { readAt } from '../../../src/fd/read-file.js';
import { namelessFile } from '../../../src/ostree/delta/nameless-file.js';
import { TemporaryFolder } from '../../support/filesystems.js';
import { withoutLeak } from '../../support/open-fds.js';

const ignore = (): void => undefined;

/** Pieces of all lengths, each in the same memory as the one before. */
async function* overwritten(content: Buffer): AsyncGenerator<Buffer, void, void> {
  const piece = Buffer.alloc(300_000);
  for (let at = 0, length = 1; at < content.length; length = (length * 7) % piece.length) {
    const copied = content.copy(piece, 0, at, at + length);
    yield piece.subarray(0, copied);
    at += copied;
  }
}

test('a file has all bytes, whatever becomes of the pieces', async () => {
  using folder = new TemporaryFolder();
  await withoutLeak(async () => {
    using place = openDirectoryPath(folder.path);
    const content = randomBytes(3_000_001);
    const seen: Buffer[] = [];
    let length = 0;
    using file = await namelessFile(
      place,
      overwritten(content),
      'it',
      content.length,
      (piece) => void seen.push(Buffer.from(piece)),
      (total) => void (length = total),
    );
    assert.equal(length, content.length);
    assert.ok(Buffer.concat(seen).equals(content));
    assert.ok(readAt(file, 0, length).equals(content));
    assert.equal(file.stat().size, length);
  });
});

test('what is longer than it may be, or cannot be read, makes no file', async () => {
  using folder = new TemporaryFolder();
  await withoutLeak(async () => {
    using place = openDirectoryPath(folder.path);
    const content = randomBytes(1_000_001);
    await assert.rejects(namelessFile(place, overwritten(content), 'it', content.length - 1, ignore, ignore), {
      code: 'OSTREE_DELTA',
      message: 'it has more than 1000000 bytes',
    });
    const broken = async function* (): AsyncGenerator<Buffer, void, void> {
      yield* overwritten(content);
      throw new Error('the source is gone');
    };
    await assert.rejects(namelessFile(place, broken(), 'it', content.length, ignore, ignore), /the source is gone/);
  });
});

test('a full file system is said, and the source is not read on', async (t) => {
  if (process.getuid?.() !== 0) return t.skip('only root mounts');
  using folder = new TemporaryFolder();
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', folder.path]);
  try {
    await withoutLeak(async () => {
      using place = openDirectoryPath(folder.path);
      let asked = 0;
      let ended = false;
      const endless = async function* (): AsyncGenerator<Buffer, void, void> {
        try {
          for (; ; asked++) {
            // Longer than the write before takes: its error must not count as one that nobody sees.
            for (let turn = 0; turn < 100; turn++) await setImmediate();
            yield Buffer.alloc(256 << 10);
          }
        } finally {
          ended = true;
        }
      };
      await assert.rejects(namelessFile(place, endless(), 'it', Infinity, ignore, ignore), { code: 'ENOSPC' });
      assert.ok(asked < 10, `${asked} pieces were asked for`);
      assert.ok(ended);
    });
  } finally {
    execFileSync('umount', [folder.path]);
  }
});
