import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fsckImages, imageFsckJson, imageFsckText } from '../../src/oci/fsck.js';
import { fsckText } from '../../src/repository/fsck-report.js';
import { fsckRepository } from '../../src/repository/fsck.js';
import { Repository } from '../../src/repository/repository.js';
import { recorded, RecordedRepository } from '../cli/recorded-repository.js';
import { damages, errorsIn } from './damages.js';

describe('fsck', () => {
  let sound: RecordedRepository;
  before(async () => {
    sound = await RecordedRepository.create();
  });
  after(() => sound[Symbol.asyncDispose]());

  for (const { name, apply, errors, imageErrors = [] } of damages) {
    test(`finds: ${name}`, async (t) => {
      const path = mkdtempSync(join(tmpdir(), 'fsck-'));
      t.after(() => rmSync(path, { recursive: true }));
      cpSync(sound.path, path, { recursive: true, verbatimSymlinks: true });
      apply(path);
      using repository = await Repository.open(path);
      const report = await fsckImages(repository, undefined);
      assert.deepEqual(errorsIn(imageFsckText(report)), [...errors, ...imageErrors].sort());
      assert.equal(report.ok, errors.length + imageErrors.length === 0);
    });
  }

  test('prints what cfsctl prints', async () => {
    using repository = await Repository.open(sound.path);
    const [, ...lines] = recorded.results.sha512.erofs_versions['1'].oci_fsck;
    const report = await fsckImages(repository, 't');
    // The recorded repository held what came before the image was made, too.
    const objects = /^objects: .*$/m;
    const recordedText = `${lines.join('\n')}\n`.replace(objects, '');
    assert.equal(imageFsckText(report).replace(objects, ''), recordedText);
    assert.deepEqual(imageFsckJson(report)['errors'], []);
  });

  test('leaves the digests out when asked to', async () => {
    using repository = await Repository.open(sound.path);
    assert.match(fsckText(await fsckRepository(repository, { metadataOnly: true })), /^meta.json: ok\nobjects: 0\/0 ok\nstreams: 4\/4 ok\nimages: 1\/1 ok\nstatus: ok\n$/);
  });

  test('reports a tag that is not there, can be called off, and closes what it opened', async () => {
    using repository = await Repository.open(sound.path);
    await fsckRepository(repository);
    const before = readdirSync('/proc/self/fd').length;
    const { ok, errors } = await fsckImages(repository, 'nothing');
    assert.deepEqual([ok, errors.map(({ kind, path }) => `${kind} ${path}`)], [false, ['ref-resolve-failed nothing']]);
    await assert.rejects(fsckRepository(repository, { signal: AbortSignal.abort() }), { name: 'AbortError' });
    await fsckRepository(repository);
    assert.equal(readdirSync('/proc/self/fd').length, before);
  });
});
