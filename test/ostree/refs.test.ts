import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { encodeCommit } from '../../src/ostree/object/commit.js';
import { sha256, type Checksum } from '../../src/ostree/object/checksum.js';
import {
  listCommitRefs,
  readCommitRef,
  removeCommitRef,
  resolveCommit,
  writeCommitRef,
} from '../../src/ostree/refs.js';
import { CommitStreamBuilder } from '../../src/ostree/stream/commit-stream-builder.js';
import { findCommit, readCommit } from '../../src/ostree/stream/read-commit.js';
import { storeCommitStream } from '../../src/ostree/stream/write-commit.js';
import { initRepository } from '../../src/repository/init.js';
import { commitContentId, layerContentId } from '../../src/repository/names.js';
import { Repository } from '../../src/repository/repository.js';
import { scratch } from '../support/scratch.js';

async function someRepository(t: TestContext): Promise<Repository> {
  const path = `${scratch(t)}/repo`;
  initRepository(path, { insecure: true });
  const repository = await Repository.open(path, { write: true, insecure: true });
  t.after(() => repository.close());
  return repository;
}

/** A commit of nothing: its tree is not there. */
async function putCommit(repository: Repository, timestamp: bigint, image?: string): Promise<Checksum> {
  const none = '0'.repeat(64);
  const commit = { metadata: [], parent: undefined, subject: '', body: '', timestamp, tree: none, meta: none };
  const bytes = encodeCommit(commit);
  const builder = new CommitStreamBuilder(repository.algorithm);
  const id = sha256(bytes);
  builder.add(id, bytes);
  const stream = await storeCommitStream(repository, builder.finish(id), image);
  await repository.linkStream(commitContentId(id), stream);
  return id;
}

test('a commit stream is read as it was written, with its image', async (t) => {
  const repository = await someRepository(t);
  const image = 'ab'.repeat(64);
  const id = await putCommit(repository, 1n, image);
  const commit = await readCommit(repository, id);
  assert.equal(commit.image, image);
  assert.equal(commit.objects.count, 1);
  assert.equal(commit.objects.commit, id);
  assert.equal(await findCommit(repository, '1'.repeat(64)), undefined);
  await assert.rejects(readCommit(repository, '1'.repeat(64)), { code: 'NOT_FOUND' });
});

test('under the name of a commit, the stream of another one or of no commit is refused', async (t) => {
  const repository = await someRepository(t);
  const id = await putCommit(repository, 1n);
  const other = '1'.repeat(64);
  await repository.linkStream(commitContentId(other), repository.streamObject(commitContentId(id))!);
  await assert.rejects(readCommit(repository, other), { code: 'OSTREE_STREAM', message: new RegExp(id) });
});

test('refs may have any name, are listed, moved and removed', async (t) => {
  const repository = await someRepository(t);
  const [one, two] = [await putCommit(repository, 1n), await putCommit(repository, 2n)];
  for (const name of ['a/b', 'a%2Fb', '%', 'ünï', '@x', '/lead', 'trail/']) {
    assert.equal(writeCommitRef(repository, name, one), true);
    assert.equal(writeCommitRef(repository, name, one), false);
    assert.equal(readCommitRef(repository, name), one);
  }
  assert.equal(listCommitRefs(repository).length, 7);
  assert.deepEqual(
    listCommitRefs(repository).find(({ name }) => name === 'a/b'),
    { name: 'a/b', commit: one },
  );
  writeCommitRef(repository, 'a/b', two);
  assert.equal(resolveCommit(repository, 'a/b'), two);
  assert.equal(removeCommitRef(repository, 'a/b'), true);
  assert.equal(removeCommitRef(repository, 'a/b'), false);
  for (const name of ['', '.', '..', 'n'.repeat(256)]) {
    assert.equal(readCommitRef(repository, name), undefined);
    assert.throws(() => writeCommitRef(repository, name, one), { code: 'INVALID_NAME' });
  }
});

test('a commit is meant by its name, its id in either case, or the first digits of it', async (t) => {
  const repository = await someRepository(t);
  const ids = await Promise.all(Array.from({ length: 20 }, (_, i) => putCommit(repository, BigInt(i))));
  const [one, two] = ids as [Checksum, Checksum];
  assert.equal(resolveCommit(repository, one), one);
  assert.equal(resolveCommit(repository, one.toUpperCase()), one);
  assert.equal(resolveCommit(repository, one.slice(0, 20).toUpperCase()), one);
  // A name that looks like an id wins.
  writeCommitRef(repository, one, two);
  assert.equal(resolveCommit(repository, one), two);
  const twice = '0123456789abcdef'.split('').find((digit) => ids.filter((id) => id.startsWith(digit)).length > 1)!;
  assert.throws(() => resolveCommit(repository, twice), { code: 'AMBIGUOUS_COMMIT' });
  for (const [source, message] of [
    ['x', "'x' is not a known ostree ref or valid commit ID"],
    ['', "'' is not a known ostree ref or valid commit ID"],
    [`${one}0`, `'${one}0' is not a known ostree ref or valid commit ID`],
    ['9'.repeat(64), `ostree commit ${'9'.repeat(64)} not found in repository`],
    ['9'.repeat(30), `ostree commit prefix '${'9'.repeat(30)}' not found in repository`],
  ] as const)
    assert.throws(() => resolveCommit(repository, source), { code: 'NOT_FOUND', message });
});

test('a ref to something else than a commit is an error where it is asked for', async (t) => {
  const repository = await someRepository(t);
  const id = await putCommit(repository, 1n);
  const name = layerContentId(`sha256:${'a'.repeat(64)}`);
  await repository.linkStream(name, repository.streamObject(commitContentId(id))!);
  repository.writeRef('streams', 'ostree/odd', name);
  assert.deepEqual(listCommitRefs(repository), []);
  assert.throws(() => readCommitRef(repository, 'odd'), { code: 'TAG_TARGET' });
});
