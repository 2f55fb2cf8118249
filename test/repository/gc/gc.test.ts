import assert from 'node:assert/strict';
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { openImage } from '../../../src/oci/image/image.js';
import { configContentId, layerContentId, manifestContentId } from '../../../src/repository/names.js';
import { collectGarbage, type GcOptions } from '../../../src/repository/gc/gc.js';
import type { GcReport } from '../../../src/repository/gc/report.js';
import { fsckRepository } from '../../../src/repository/fsck/fsck.js';
import { Repository } from '../../../src/repository/repository.js';
import { removeTag, writeTag } from '../../../src/repository/tags.js';
import { recorded, RecordedRepository, recordedText } from '../../support/cli/recorded-repository.js';

let recording: RecordedRepository;
let path: string;
beforeEach(async () => {
  recording = await RecordedRepository.create();
  path = recording.path;
});
afterEach(() => recording[Symbol.asyncDispose]());

async function gc(options: GcOptions = {}): Promise<GcReport> {
  using repository = await Repository.open(path, { write: true });
  return await collectGarbage(repository, options);
}

async function untag(): Promise<void> {
  using repository = await Repository.open(path, { write: true });
  removeTag(repository, 't');
}

function objects(): string[] {
  return readdirSync(join(path, 'objects'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.length > 60)
    .sort();
}

async function assertSound(): Promise<void> {
  using repository = await Repository.open(path);
  const report = await fsckRepository(repository);
  assert.deepEqual(report.errors, []);
}

const kinds = (report: GcReport): string[] => report.problems.map(({ kind, path }) => `${kind}: ${path}`);

test('what a tagged image needs stays, the rest goes, and a dry run says so before', async () => {
  const before = objects();
  const planned = await gc({ dryRun: true });
  assert.deepEqual(objects(), before);
  const done = await gc();
  assert.deepEqual([done.objects, done.bytes, done.kept], [planned.objects, planned.bytes, planned.kept]);
  assert.equal(before.length - objects().length, done.objects);
  assert.ok(done.objects > 300 && done.kept > 10);
  await assertSound();
  {
    using repository = await Repository.open(path);
    assert.equal(
      (await openImage(repository, 't')).manifestStream.bytes.toString('latin1'),
      recordedText('manifest.json'),
    );
  }
  const again = await gc({ dryRun: true });
  assert.equal(again.objects, 0);
});

test('without its tag an image goes, with names and verification marks; one with a ref stays', async () => {
  const diffId = recorded.diff_ids[0] ?? '';
  {
    using repository = await Repository.open(path, { write: true });
    repository.writeRef('streams', 'kept', layerContentId(diffId));
  }
  mkdirSync(join(path, 'verified'));
  for (const id of recorded.diff_ids)
    symlinkSync(`../objects/${linkOf(layerContentId(id))}`, join(path, 'verified', layerContentId(id)));
  await untag();
  const report = await gc();
  assert.deepEqual(
    report.prunedStreams.map(String).sort(),
    [
      configContentId(recorded.config_digest),
      layerContentId(recorded.diff_ids[1] ?? ''),
      manifestContentId(recorded.manifest_digest),
    ].map((name) => `streams/${name}`),
  );
  assert.deepEqual(readdirSync(join(path, 'verified')), [layerContentId(diffId)]);
  assert.deepEqual(kinds(report), []);
  await assertSound();
});

test('a name given as a root keeps what it stands for, an unknown one is reported', async () => {
  await untag();
  const report = await gc({ roots: [manifestContentId(recorded.manifest_digest), 'typo'] });
  assert.deepEqual(kinds(report), ['unknown-root: typo']);
  assert.deepEqual(report.prunedStreams, []);
});

test('a tag that leads nowhere is reported and stays', async () => {
  symlinkSync('../../oci-manifest-sha256:00', join(path, 'streams/refs/oci/lost'));
  const report = await gc();
  assert.deepEqual(kinds(report), ['dangling-ref: streams/refs/oci/lost']);
  assert.ok(readdirSync(join(path, 'streams/refs/oci')).includes('lost'));
});

test('a stream without a name keeps what it refers to, as long as something refers to it', async () => {
  await gc();
  const before = objects();
  for (const id of recorded.diff_ids) rmSync(join(path, 'streams', layerContentId(id)));
  rmSync(join(path, 'streams', configContentId(recorded.config_digest)));
  rmSync(join(path, 'images'), { recursive: true });
  await gc();
  assert.deepEqual(objects(), before);
});

test('files that are no part of a repository are reported and stay', async () => {
  await gc();
  const foreign = [
    'images/file',
    'images/refs/file',
    'objects/00/short',
    'objects/zz',
    'streams/elsewhere',
    'streams/folder',
  ];
  mkdirSync(join(path, 'objects/00'), { recursive: true });
  for (const name of ['images/file', 'images/refs/file', 'objects/00/short', 'objects/zz'])
    writeFileSync(join(path, name), '');
  mkdirSync(join(path, 'streams/folder'));
  symlinkSync('../meta.json', join(path, 'streams/elsewhere'));
  symlinkSync('../objects/aa/bb', join(path, 'streams/broken'));
  const directory = `objects/00/${'0'.repeat(126)}`;
  mkdirSync(join(path, directory));
  const report = await gc();
  assert.deepEqual(
    kinds(report).sort(),
    [...foreign.map((name) => `foreign-file: ${name}`), `not-removed: ${directory}`].sort(),
  );
  assert.deepEqual(report.prunedStreams, ['streams/broken']);
  assert.equal(report.objects, 0);
});

test('what killed programs left half-made is removed', async () => {
  symlinkSync('x', join(path, '.symlink-abcdef012345'));
  mkdirSync(join(path, '.symlink-abcdef012346'));
  writeFileSync(join(path, 'objects/.tmp-object-12345'), 'half');
  const report = await gc();
  assert.deepEqual(report.leftovers, ['.symlink-abcdef012345', 'objects/.tmp-object-12345']);
  assert.deepEqual(readdirSync(path).sort(), ['.symlink-abcdef012346', 'images', 'meta.json', 'objects', 'streams']);
});

test('nothing is removed when something that is needed cannot be read', async () => {
  const before = objects();
  const file = realpathSync(join(path, 'streams', layerContentId(recorded.diff_ids[1] ?? '')));
  truncateSync(file, 100);
  await assert.rejects(gc(), { code: 'GC_UNREADABLE', message: /oci-layer-|sha256:/ });
  assert.deepEqual(objects(), before);
  rmSync(file);
  const report = await gc();
  assert.ok(kinds(report).some((line) => line.startsWith('missing-object: streams/refs/oci/t')));
  assert.ok(readdirSync(join(path, 'streams')).includes(manifestContentId(recorded.manifest_digest)));
});

test('an image that is open stays although nothing names it', async (t) => {
  const id = readdirSync(join(path, 'images')).find((name) => name !== 'refs') ?? '';
  await untag();
  rmSync(join(path, 'images/refs'), { recursive: true });
  const reader = await open(join(path, 'images', id));
  const files = imageFiles();
  const report = await gc();
  if (report.inUse.length === 0) t.skip('this kernel or file system does not tell whether a file is open');
  else {
    assert.deepEqual(report.inUse, [{ image: id, by: 'open' }]);
    assert.equal(imageFiles(), files);
    await assertSound();
  }
  await reader.close();
  const last = await gc();
  assert.deepEqual([last.kept, last.prunedImages], [0, [`images/${id}`]]);
});

test('the image of a deployment beside the repository stays', async () => {
  await untag();
  rmSync(join(path, 'images/refs'), { recursive: true });
  const [id = ''] = readdirSync(join(path, 'images'));
  const outer = join(path, 'outer');
  mkdirSync(join(outer, 'state/deploy', id), { recursive: true });
  mkdirSync(join(outer, 'repo'));
  for (const name of ['objects', 'streams', 'images', 'meta.json'])
    renameSync(join(path, name), join(outer, 'repo', name));
  using moved = await Repository.open(join(outer, 'repo'), { write: true });
  const report = await collectGarbage(moved);
  assert.deepEqual(report.inUse, [{ image: id, by: 'deployed' }]);
  assert.deepEqual((await fsckRepository(moved)).errors, []);
  assert.ok(report.kept > 5);
});

test('garbage collection waits for everybody who has the repository open, a dry run for nobody', async () => {
  const other = await Repository.open(path);
  await gc({ dryRun: true });
  await assert.rejects(gc({ signal: AbortSignal.timeout(100) }), { name: 'AbortError' });
  let over = false;
  const running = gc().then((report) => {
    over = true;
    return report;
  });
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert.equal(over, false);
  other[Symbol.dispose]();
  assert.ok((await running).objects > 0);
});

test('a tag written while others wait is seen', async () => {
  const other = await Repository.open(path, { write: true });
  removeTag(other, 't');
  const running = gc();
  await new Promise((resolve) => setTimeout(resolve, 50));
  writeTag(other, 'u', recorded.manifest_digest);
  other[Symbol.dispose]();
  assert.deepEqual((await running).prunedStreams, []);
});

/** How many regular files an image of the recorded repository leads to, going by the objects there are. */
function imageFiles(): number {
  const layer = readFileSync(
    join(path, 'images', readdirSync(join(path, 'images')).find((name) => name !== 'refs') ?? ''),
  ).toString('latin1');
  return objects().filter((name) => layer.includes(name)).length;
}

function linkOf(contentId: string): string {
  return realpathSync(join(path, 'streams', contentId)).split('/objects/')[1] ?? '';
}
