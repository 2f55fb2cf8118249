import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { writeErofs } from '../../../src/erofs/write/writer.js';
import { openImage } from '../../../src/oci/image/image.js';
import { configContentId, manifestContentId } from '../../../src/repository/names.js';
import { imageTree } from '../../../src/oci/image/tree.js';
import { putJsonStream } from '../../../src/oci/image/json-stream.js';
import type { ImageConfig } from '../../../src/spec/manifest.js';
import { CONTENT_TYPES } from '../../../src/repository/splitstream/format.js';
import { fsckText, imageFsckText } from '../../../src/cli/reports/fsck.js';
import { fsckImages, imageFsckJson } from '../../../src/oci/repair/fsck.js';
import { fsckRepository } from '../../../src/repository/fsck/fsck.js';
import { Repository } from '../../../src/repository/repository.js';
import { recorded, RecordedRepository } from '../../support/cli/recorded-repository.js';
import { damages, errorsIn } from '../../support/faults/damages.js';

describe('fsck', () => {
  let sound: RecordedRepository;
  before(async () => {
    sound = await RecordedRepository.create();
  });
  after(() => sound[Symbol.asyncDispose]());

  for (const { name, apply, errors, imageErrors = [], ownImageErrors = [] } of damages) {
    test(`finds: ${name}`, async (t) => {
      const path = mkdtempSync(join(tmpdir(), 'fsck-'));
      t.after(() => rmSync(path, { recursive: true }));
      cpSync(sound.path, path, { recursive: true, verbatimSymlinks: true });
      apply(path);
      using repository = await Repository.open(path);
      const report = await fsckImages(repository, undefined);
      const expected = [...errors, ...imageErrors, ...ownImageErrors].sort();
      assert.deepEqual(errorsIn(imageFsckText(report)), expected);
      assert.equal(report.ok, expected.length === 0);
    });
  }

  test('finds: an image that is sound and another one than the layers give', async (t) => {
    const path = mkdtempSync(join(tmpdir(), 'fsck-'));
    t.after(() => rmSync(path, { recursive: true }));
    cpSync(sound.path, path, { recursive: true, verbatimSymlinks: true });
    using repository = await Repository.open(path, { write: true });
    const { configStream, config, manifest, manifestStream } = await openImage(repository, 't');
    const tree = await imageTree(repository, configStream, config as ImageConfig, { xattrs: 'allowlist-only' });
    tree.entries.delete('etc');
    const other = await repository.objects.put(writeErofs(tree, { version: 1, algorithm: 'sha512' }));
    await repository.linkImage(other);
    const configRefs = new Map(configStream.namedRefs).set('composefs.image.v1', other);
    const stream = await putJsonStream(repository, CONTENT_TYPES.config, configStream.bytes, configRefs);
    const manifestRefs = new Map(manifestStream.namedRefs).set(`config:${manifest.config.digest}`, stream);
    await repository.linkStreams([
      [configContentId(manifest.config.digest), stream],
      [
        manifestContentId(recorded.manifest_digest),
        await putJsonStream(repository, CONTENT_TYPES.manifest, manifestStream.bytes, manifestRefs),
      ],
    ]);
    const report = await fsckImages(repository, undefined);
    assert.deepEqual(errorsIn(imageFsckText(report)), ['image-differs: t']);
    assert.match(
      report.errors[0]?.detail ?? '',
      new RegExp(`^composefs.image.v1: ${other} instead of ${recorded.results.sha512.erofs_versions['1'].images[0]}$`),
    );
  });

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
    assert.match(
      fsckText(await fsckRepository(repository, { metadataOnly: true })),
      /^meta.json: ok\nobjects: 0\/0 ok\nstreams: 4\/4 ok\nimages: 1\/1 ok\nstatus: ok\n$/,
    );
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
