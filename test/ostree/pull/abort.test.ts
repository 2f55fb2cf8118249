import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { OstreeFolder } from '../../../src/ostree/local/repository.js';
import { pullLocalCommit } from '../../../src/ostree/local/pull-local.js';
import { initRepository } from '../../../src/repository/init.js';
import { Repository } from '../../../src/repository/repository.js';
import { fastFolder } from '../../support/fast-folder.js';
import { writeArchive } from '../../support/images/ostree-archive.js';
import { withoutLeak } from '../../support/open-fds.js';
import { noise } from '../../support/random.js';

const FILES = 400;

const scratch = mkdtempSync(join(fastFolder, 'cfsbridge-test-'));
after(() => rmSync(scratch, { recursive: true, force: true }));

test('a pull from an archive that is given up leaves no file open and no name', async () => {
  const path = join(scratch, 'archive');
  const files = Array.from({ length: FILES }, (_, i) => [`file-${i}`, noise(50 * i, `${i}`)] as const);
  writeArchive(path, { web: Object.fromEntries(files) });
  const target = join(scratch, 'repository');
  initRepository(target, { insecure: true });
  using repository = await Repository.open(target, { write: true });
  void repository.objects;
  using folder = OstreeFolder.open(path);
  for (const count of [0, 1, 100, FILES - 1]) {
    const stop = new AbortController();
    const reason = new Error(`after ${count} files`);
    await withoutLeak(async () => {
      const pulled = pullLocalCommit(repository, folder, 'web', {
        signal: stop.signal,
        onProgress: ({ files }) => files >= count && stop.abort(reason),
      });
      await assert.rejects(pulled, reason);
    });
    assert.deepEqual([...repository.listStreams(), ...repository.listRefs('streams')], []);
  }
  assert.equal((await pullLocalCommit(repository, folder, 'web')).files, FILES);
});
