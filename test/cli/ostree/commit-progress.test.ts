// How far a pull of a commit is, on a terminal and elsewhere.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CommitProgress } from '../../../src/cli/ostree/commit-progress.js';
import type { FetchProgress } from '../../../src/ostree/pull/fetch-commit.js';
import { pullLocalCommit } from '../../../src/ostree/local/pull-local.js';
import { OstreeFolder } from '../../../src/ostree/local/repository.js';
import { initRepository } from '../../../src/repository/init.js';
import { Repository } from '../../../src/repository/repository.js';
import { writeArchive } from '../../support/images/ostree-archive.js';
import { scratch } from '../../support/scratch.js';

const AT: FetchProgress = { metadata: 3, files: 5, reused: 0, filesLeft: 7, bytes: 3 << 20 };

test('objects, bytes and their rate are shown on a terminal, in a line that goes away', () => {
  const written: string[] = [];
  const write = (text: string): boolean => written.push(text) > 0;
  {
    using progress = new CommitProgress({ isTTY: true, write } as unknown as NodeJS.WriteStream);
    progress.show(AT);
    // Not more than can be read.
    progress.show(AT);
  }
  assert.equal(written.length, 2);
  assert.match(written[0]!, /^\r\x1b\[K3 metadata, 5 files, 7 to go, 3\.00 MiB, \d+(\.\d+)? \w+\/s$/);
  assert.equal(written[1], '\r\x1b[K');
});

test('elsewhere nothing is said of a pull that is done soon', () => {
  const written: string[] = [];
  {
    using progress = new CommitProgress({
      write: (text: string) => written.push(text),
    } as unknown as NodeJS.WriteStream);
    progress.show(AT);
  }
  assert.deepEqual(written, []);
});

test('bytes grow with each piece of a file, up to all that there is', async (t) => {
  const archive = scratch(t);
  writeArchive(archive, { web: { large: Buffer.alloc(5 << 20, 'large '), small: 'small' } });
  const path = scratch(t);
  initRepository(path, { insecure: true });
  using repository = await Repository.open(path, { write: true });
  using folder = OstreeFolder.open(archive);
  const seen: FetchProgress[] = [];
  await pullLocalCommit(repository, folder, 'web', { onProgress: (at) => seen.push(at) });
  const bytes = seen.map((at) => at.bytes);
  assert.deepEqual(
    bytes,
    [...bytes].sort((one, other) => one - other),
  );
  const within = bytes.filter((count) => count > 1000 && count < 5 << 20);
  assert.ok(within.length > 5, `${within.length} reports within the file`);
  const last = seen.at(-1)!;
  assert.ok(last.bytes > (5 << 20) + 5 && last.bytes < (5 << 20) + 2000, `${last.bytes}`);
  assert.deepEqual([last.metadata, last.files, last.filesLeft], [3, 2, 0]);
});
