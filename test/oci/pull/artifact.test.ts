import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdirSync, truncateSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { DigestMismatchError } from '../../../src/errors.js';
import { listImages, openImage, referrers } from '../../../src/oci/image/image.js';
import { layerContentId } from '../../../src/repository/names.js';
import { openSource } from '../../../src/oci/source/open.js';
import { pullImage } from '../../../src/oci/pull/pull.js';
import type { PullResult } from '../../../src/oci/pull/types.js';
import { fsckRepository } from '../../../src/repository/fsck/fsck.js';
import { collectGarbage } from '../../../src/repository/gc/gc.js';
import { mergedStream } from '../../../src/repository/splitstream/merged.js';
import { objectPath } from '../../../src/fsverity/object-id.js';
import { Repository } from '../../../src/repository/repository.js';
import { CONTENT_TYPES } from '../../../src/repository/splitstream/format.js';
import { removeTag } from '../../../src/repository/tags.js';
import { withoutLeak } from '../../support/open-fds.js';
import { runCli } from '../../support/cli/run-cli.js';
import { newLayout, newRepository, sha256, tarOf, TYPES, type Layout } from '../../support/images/source-layout.js';

const BLOBS = { none: Buffer.alloc(0), tiny: Buffer.from('x'), small: randomBytes(5000), large: randomBytes(5 << 20) };

async function pull(repository: Repository, layout: Layout, tag: string): Promise<PullResult> {
  await using source = await openSource(`oci:${layout.path}:${tag}`);
  return await pullImage(repository, source, { name: tag });
}

async function contentOf(repository: Repository, digest: string): Promise<Buffer> {
  const stream = repository.streamObject(layerContentId(digest));
  assert.ok(stream);
  using reader = repository.openStream(stream);
  assert.equal(reader.contentType, CONTENT_TYPES.blob);
  assert.equal(reader.objects.length, 1);
  const parts: Buffer[] = [];
  for await (const piece of mergedStream(repository.objects, reader)) parts.push(Buffer.from(piece));
  return Buffer.concat(parts);
}

test('blobs of any size are stored as one object each', async (t) => {
  const layout = newLayout(t);
  layout.publish({ art: layout.artifact(Object.values(BLOBS)) });
  const { repository } = await newRepository(t);
  assert.ok(repository.objects);
  const result = await withoutLeak(() => pull(repository, layout, 'art'));
  for (const bytes of Object.values(BLOBS)) assert.ok((await contentOf(repository, sha256(bytes))).equals(bytes));
  assert.equal(result.images.size, 0);
  const { images } = await listImages(repository);
  assert.deepEqual(
    images.map(({ name, isContainer, layerCount }) => [name, isContainer, layerCount]),
    [['art', false, 4]],
  );
  const again = await pull(repository, layout, 'art');
  assert.equal(again.manifestStream, result.manifestStream);
  assert.ok(again.layers.every(({ stats }) => stats === undefined));
});

test('an artifact has no files', async (t) => {
  const layout = newLayout(t);
  layout.publish({ art: layout.artifact(['1']) });
  const { path, repository } = await newRepository(t);
  await pull(repository, layout, 'art');
  for (const command of [
    ['dump', 'art'],
    ['compute-id', 'art'],
    ['mount', 'art', path],
    ['prepare-boot', 'art', '--bootdir', path],
  ]) {
    const { status, stderr } = runCli(['--repo', path, 'oci', ...command]);
    assert.deepEqual(
      [status, stderr],
      [1, 'Error: "art" is an artifact and no container image: it has no file tree\n'],
    );
  }
});

test('artifacts that share the config {} do not get into each other’s way', async (t) => {
  const layout = newLayout(t);
  layout.publish({
    one: layout.artifact(['1', 'both']),
    two: layout.artifact(['2', 'both']),
    three: layout.artifact([]),
  });
  const { repository } = await newRepository(t);
  for (const tag of ['one', 'two', 'three', 'one']) await pull(repository, layout, tag);
  for (const [tag, ...blobs] of [['one', '1', 'both'], ['two', '2', 'both'], ['three']]) {
    const { configStream, manifestStream } = await openImage(repository, tag as string);
    const digests = blobs.map((text) => sha256(Buffer.from(text))).sort();
    assert.deepEqual([...configStream.namedRefs.keys()].sort(), digests);
    assert.deepEqual(
      [...manifestStream.namedRefs.keys()].filter((name) => !name.startsWith('config:')).sort(),
      digests,
    );
  }
});

test('a referrer is found by its subject, whichever comes first', async (t) => {
  const layout = newLayout(t);
  const subject = layout.image([{ tar: tarOf({ a: 'a' }) }]);
  const { annotations: _, ...about } = subject;
  const referring = [
    layout.artifact(['signature'], { subject: about }),
    layout.artifact(['sbom'], { subject: about }),
    layout.image([{ tar: tarOf({ b: 'b' }) }], {}, { subject: about }),
  ];
  layout.publish({ subject, s0: referring[0]!, s1: referring[1]!, s2: referring[2]! });
  const { repository } = await newRepository(t);
  for (const tag of ['s0', 'subject', 's1', 's2', 's0']) await pull(repository, layout, tag);
  assert.deepEqual(referrers(repository, subject.digest).sort(), referring.map(({ digest }) => digest).sort());
});

test('a referrer without a tag stays as long as its subject, which may be one itself', async (t) => {
  const layout = newLayout(t);
  const about = ({ annotations: _, ...rest }: ReturnType<Layout['artifact']>): object => rest;
  const subject = layout.image([{ tar: tarOf({ a: 'a' }) }]);
  const sbom = layout.artifact(['sbom'], { subject: about(subject) });
  const signature = layout.artifact(['signature'], { subject: about(sbom) });
  const tagged = layout.artifact(['tagged'], { subject: about(subject) });
  const other = layout.artifact(['other'], {
    subject: { mediaType: TYPES.manifest, digest: sha256(Buffer.from('nobody')), size: 1 },
  });
  layout.publish({ subject, sbom, signature, tagged, other });
  const { path, repository } = await newRepository(t);
  for (const tag of ['subject', 'sbom', 'signature', 'tagged', 'other']) await pull(repository, layout, tag);
  for (const tag of ['sbom', 'signature', 'other']) removeTag(repository, tag);
  const left = (): string[] =>
    repository
      .listStreams()
      .filter((name) => name.startsWith('oci-manifest-'))
      .map((name) => name.slice('oci-manifest-'.length))
      .sort();
  const of = (...images: { digest: string }[]): string[] => images.map(({ digest }) => digest).sort();

  const first = await collectGarbage(repository);
  assert.deepEqual(left(), of(subject, sbom, signature, tagged));
  assert.deepEqual(first.problems, []);
  assert.equal(first.prunedStreams.filter((name) => name.startsWith('streams/refs/')).length, 1);
  removeTag(repository, 'subject');
  const planned = await collectGarbage(repository, { dryRun: true });
  const second = await collectGarbage(repository);
  assert.deepEqual([planned.objects, planned.prunedStreams.length], [second.objects, second.prunedStreams.length]);
  assert.deepEqual(left(), of(tagged));
  assert.deepEqual(repository.listRefs('streams', 'oci-referrers'), [`${subject.digest}/${tagged.digest}`]);
  assert.deepEqual(readdirSync(join(path, 'streams/refs/oci-referrers')), [subject.digest]);
  assert.deepEqual((await fsckRepository(repository)).errors, []);
});

test('a referrer stays when a tag speaks of a subject that is lost', async (t) => {
  const layout = newLayout(t);
  const { annotations: _, ...subject } = layout.image([{ tar: tarOf({ a: 'a' }) }]);
  const sbom = layout.artifact(['sbom'], { subject });
  layout.publish({ subject, sbom });
  const { path, repository } = await newRepository(t);
  for (const tag of ['subject', 'sbom']) await pull(repository, layout, tag);
  removeTag(repository, 'sbom');
  unlinkSync(join(path, `streams/oci-manifest-${subject.digest}`));
  await collectGarbage(repository);
  assert.deepEqual((await openImage(repository, `@${sbom.digest}`)).digest, sbom.digest);
});

const damages: [what: string, damage: (file: string) => void, code: string][] = [
  ['is another one', (file) => writeFileSync(file, randomBytes(BLOBS.large.length)), 'DIGEST_MISMATCH'],
  ['is cut', (file) => truncateSync(file, 3 << 20), 'BLOB_SIZE'],
  ['is too long', (file) => truncateSync(file, 6 << 20), 'BLOB_SIZE'],
  ['is missing', unlinkSync, 'NOT_FOUND'],
];
for (const [what, damage, code] of damages) {
  test(`an artifact with a blob that ${what} gets no name`, async (t) => {
    const layout = newLayout(t);
    layout.publish({ art: layout.artifact([BLOBS.large]) });
    damage(layout.fileOf(sha256(BLOBS.large)));
    const { repository } = await newRepository(t);
    assert.ok(repository.objects);
    await withoutLeak(() => assert.rejects(pull(repository, layout, 'art'), { code }));
    assert.deepEqual(repository.listStreams(), []);
    assert.deepEqual(repository.listRefs('streams'), []);
  });
}

test('a stored blob that was damaged or lost is stored anew', async (t) => {
  const layout = newLayout(t);
  layout.publish({ art: layout.artifact([BLOBS.small]) });
  const { path, repository } = await newRepository(t);
  await pull(repository, layout, 'art');
  const id = ((): string => {
    using reader = repository.openStream(repository.streamObject(layerContentId(sha256(BLOBS.small))) ?? '');
    return reader.objects.at(0);
  })();
  unlinkSync(join(path, 'objects', objectPath(id)));
  // An open repository remembers which objects it stored.
  using later = await Repository.open(path, { write: true });
  await pull(later, layout, 'art');
  assert.ok((await contentOf(later, sha256(BLOBS.small))).equals(BLOBS.small));
});

test('a config that is not what the artifact’s manifest says is refused', async (t) => {
  const layout = newLayout(t);
  layout.publish({ art: layout.artifact(['x']) });
  writeFileSync(layout.fileOf(sha256(Buffer.from('{}'))), '[]');
  const { repository } = await newRepository(t);
  await assert.rejects(pull(repository, layout, 'art'), DigestMismatchError);
});
