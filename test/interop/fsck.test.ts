import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { imageFsckText } from '../../src/cli/reports/fsck.js';
import { fsckImages } from '../../src/oci/repair/fsck.js';
import { Repository } from '../../src/repository/repository.js';
import { RecordedRepository } from '../support/cli/recorded-repository.js';
import { damages, errorsIn } from '../support/faults/damages.js';

const cfsctl = join(process.env['CFSBRIDGE_PEERS'] ?? '/var/tmp/peers', 'bin/cfsctl');

describe('a damaged repository, checked by cfsctl and by us', {
  skip: existsSync(cfsctl) ? false : 'cfsctl is not there; scripts/peers.sh installs it',
}, () => {
  let sound: RecordedRepository;
  before(async () => {
    sound = await RecordedRepository.create();
  });
  after(() => sound[Symbol.asyncDispose]());

  for (const { name, apply, ownImageErrors = [] } of damages) {
    test(name, async (t) => {
      const path = mkdtempSync(join(tmpdir(), 'fsck-'));
      t.after(() => rmSync(path, { recursive: true }));
      cpSync(sound.path, path, { recursive: true, verbatimSymlinks: true });
      apply(path);
      const theirs = spawnSync(cfsctl, ['--repo', path, 'oci', 'fsck'], { encoding: 'utf8' }).stdout;
      using repository = await Repository.open(path);
      const ours = imageFsckText(await fsckImages(repository, undefined));
      const counts = (text: string): string[] =>
        text.split('\n').filter((line) => line !== '' && !line.startsWith('  - '));
      // What we find besides is about images, which come last.
      const compared = (text: string): string[] =>
        ownImageErrors.length > 0 ? counts(text).filter((line) => !line.startsWith('oci ')) : counts(text);
      assert.deepEqual(compared(ours), compared(theirs));
      assert.deepEqual(errorsIn(ours, 'exact'), [...errorsIn(theirs, 'exact'), ...ownImageErrors].sort());
    });
  }
});
