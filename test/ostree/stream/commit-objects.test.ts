import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FormatError } from '../../../src/errors.js';
import { DIGEST_SIZE, type Algorithm } from '../../../src/fsverity/object-id.js';
import { encodeCommit, parseCommit } from '../../../src/ostree/object/commit.js';
import { encodeDirMeta, parseDirMeta } from '../../../src/ostree/object/dirmeta.js';
import { encodeDirTree, parseDirTree } from '../../../src/ostree/object/dirtree.js';
import { encodeHeader, encodeSizedHeader } from '../../../src/ostree/object/file-header.js';
import { sha256 } from '../../../src/ostree/object/checksum.js';
import { CommitObjects } from '../../../src/ostree/stream/commit-objects.js';
import { CommitStreamBuilder } from '../../../src/ostree/stream/commit-stream-builder.js';
import type { CommitChunk } from '../../../src/ostree/stream/format.js';
import { digestsOf, idsOf } from '../../support/ostree/digests.js';
import { fixture, fixtureNames } from '../../support/fixtures.js';

interface Recorded {
  readonly path: string;
  readonly algorithm: Algorithm;
  readonly commit: string;
}

const CHUNKS: readonly Recorded[] = fixtureNames('ostree').flatMap((name) =>
  name === 'README.md'
    ? []
    : fixtureNames(`ostree/${name}`).flatMap((file) => {
        const [, algorithm, commit] = /^chunk\.(sha256|sha512)\.([0-9a-f]{12})\.bin/.exec(file) ?? [];
        return commit === undefined
          ? []
          : [{ path: `ostree/${name}/${file.replace(/\.zst$/, '')}`, algorithm: algorithm as Algorithm, commit }];
      }),
);

/** As many objects as a chunk can refer to; which they are stands elsewhere in a stream. */
function withObjects(bytes: Buffer, algorithm: Algorithm): CommitChunk {
  const ids = Array.from({ length: 5000 }, (_, i) => i.toString(16).padStart(2 * DIGEST_SIZE[algorithm], '0'));
  return { bytes, objects: digestsOf(algorithm, ids) };
}

function readChunk({ path, algorithm }: Recorded): { chunk: Buffer; objects: CommitObjects } {
  const chunk = fixture(path);
  return { chunk, objects: new CommitObjects(withObjects(chunk, algorithm)) };
}

test('there are chunks of both hashes to compare with', () => {
  assert.ok(CHUNKS.length >= 20, `${CHUNKS.length} chunks`);
  assert.deepEqual([...new Set(CHUNKS.map(({ algorithm }) => algorithm))].sort(), ['sha256', 'sha512']);
});

for (const recorded of CHUNKS)
  test(`${recorded.path} is read, and written again with the same bytes`, () => {
    const { chunk, objects } = readChunk(recorded);
    assert.ok(objects.commit.startsWith(recorded.commit));
    const builder = new CommitStreamBuilder(recorded.algorithm);
    const entries = [...objects];
    for (const { id, data, object } of [...entries].reverse()) builder.add(id, data, object);
    const written = builder.finish(objects.commit);
    assert.deepEqual(written.bytes, chunk);
    assert.deepEqual(idsOf(written.objects), [...new Set(entries.flatMap(({ object }) => object ?? []))]);
  });

for (const recorded of CHUNKS)
  test(`all objects of ${recorded.path} are found from its commit, and are what is written from what was read`, () => {
    const { objects } = readChunk(recorded);
    const seen = new Set<string>([objects.commit]);
    const commitBytes = objects.metadata('commit', objects.commit);
    const commit = parseCommit(commitBytes);
    assert.deepEqual(encodeCommit(commit), commitBytes);
    const walk = (tree: string, meta: string): void => {
      const metaBytes = objects.metadata('dirmeta', meta);
      assert.deepEqual(encodeDirMeta(parseDirMeta(metaBytes)), metaBytes);
      const treeBytes = objects.metadata('dirtree', tree);
      const entries = parseDirTree(treeBytes);
      assert.deepEqual(encodeDirTree(entries), treeBytes);
      seen.add(tree).add(meta);
      for (const { id } of entries.files) {
        const file = objects.file(id);
        assert.deepEqual(encodeSizedHeader(file.header, file.size), objects.find(id)!.data.subarray(0, file.length));
        if (file.object === undefined)
          assert.equal(sha256(Buffer.concat([encodeHeader(file.header), file.inline])), id);
        else assert.ok(file.size > 2 * DIGEST_SIZE[recorded.algorithm]);
        seen.add(id);
      }
      for (const folder of entries.folders) walk(folder.tree, folder.meta);
    };
    walk(commit.tree, commit.meta);
    assert.equal(seen.size, objects.count);
  });

const DAMAGE: readonly [what: string, change: (chunk: Buffer, count: number) => Buffer, message: RegExp][] = [
  ['no bytes', () => Buffer.alloc(0), /too short/],
  ['its end missing', (chunk) => chunk.subarray(0, 1100), /too short/],
  ['decreasing buckets', (chunk) => (chunk.writeUInt32LE(0, 8 + 4 * 200), chunk), /decrease|do not fit/],
  ['a bucket too many', (chunk) => (chunk.writeUInt32LE(1, 8), chunk), /do not fit|decrease/],
  ['a commit that is not there', (chunk, count) => (chunk.writeUInt32LE(count, 0), chunk), /commit object/],
  ['a billion objects', (chunk) => (chunk.writeUInt32LE(1e9, 8 + 4 * 255), chunk), /too short/],
  ['another byte at the front of an id', (chunk) => ((chunk[1032] = chunk[1032]! ^ 0xff), chunk), /do not fit|ascend/],
  ['data outside', (chunk, count) => (chunk.writeUInt32LE(0xffffffff, 1032 + 32 * count), chunk), /has data from/],
  ['longer data', (chunk, count) => (chunk.writeUInt32LE(0xffffffff, 1036 + 32 * count), chunk), /has data from/],
  ['an unknown object', (chunk, count) => (chunk.writeUInt32LE(5000, 1040 + 32 * count), chunk), /refers to object/],
];

for (const [what, change, message] of DAMAGE)
  test(`a chunk with ${what} is refused`, () => {
    const { chunk, objects } = readChunk(CHUNKS[0]!);
    assert.throws(
      () => new CommitObjects(withObjects(change(Buffer.from(chunk), objects.count), 'sha256')),
      (error) => error instanceof FormatError && error.code === 'OSTREE_STREAM' && message.test(error.message),
    );
  });

test('an object with other bytes under its id is refused', () => {
  const { chunk, objects } = readChunk(CHUNKS[0]!);
  const changed = Buffer.from(chunk);
  const at = changed.indexOf(objects.find(objects.commit)!.data);
  changed[at + 1] = changed[at + 1]! ^ 1;
  const forged = new CommitObjects(withObjects(changed, 'sha256'));
  assert.throws(() => forged.metadata('commit', objects.commit), { code: 'DIGEST_MISMATCH' });
});

test('what a stream does not have is said by kind and id', () => {
  const { objects } = readChunk(CHUNKS[0]!);
  const none = 'ab'.repeat(32);
  assert.throws(() => objects.file(none), {
    code: 'OSTREE_STREAM',
    message: new RegExp(`Missing file object ${none}`),
  });
  assert.equal(objects.find('../etc'), undefined);
});
