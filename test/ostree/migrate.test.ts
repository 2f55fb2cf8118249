// Commits stay what they are when a repository changes its algorithm, gets a meta.json, or collects garbage while an
// image of theirs is used.
import assert from 'node:assert/strict';
import { mkdirSync, openSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { printDump } from '../../src/erofs/dumpfile/print.js';
import { Fd } from '../../src/fd/fd.js';
import type { Algorithm } from '../../src/fsverity/object-id.js';
import { commitCheck } from '../../src/ostree/fsck.js';
import { commitTree } from '../../src/ostree/image/tree.js';
import { OstreeFolder } from '../../src/ostree/local/repository.js';
import { folderSource } from '../../src/ostree/local/source.js';
import { pullCommit, type PulledCommit } from '../../src/ostree/pull/pull.js';
import { listCommitRefs, removeCommitRef } from '../../src/ostree/refs.js';
import { readCommit } from '../../src/ostree/stream/read-commit.js';
import { collectGarbage } from '../../src/repository/gc/gc.js';
import { fsckRepository } from '../../src/repository/fsck/fsck.js';
import { initRepository } from '../../src/repository/init.js';
import { changeAlgorithm } from '../../src/repository/migrate/algorithm.js';
import { commitContentId } from '../../src/repository/names.js';
import { Repository } from '../../src/repository/repository.js';
import { CONTENT_TYPES } from '../../src/repository/splitstream/format.js';
import { SplitstreamWriter } from '../../src/repository/splitstream/writer.js';
import { writeArchive } from '../support/images/ostree-archive.js';
import { scratch } from '../support/scratch.js';

const FILES = {
  empty: '',
  small: 'x'.repeat(60),
  // In the stream with SHA-512, an object with SHA-256.
  between: 'y'.repeat(100),
  medium: 'z'.repeat(1000),
  large: Buffer.alloc(2 << 20, 'some text '),
};

/** A repository with the commit `web`. */
async function filled(t: TestContext, algorithm: Algorithm): Promise<{ path: string; pulled: PulledCommit }> {
  const folder = scratch(t);
  writeArchive(join(folder, 'archive'), { web: FILES });
  const path = join(folder, 'repository');
  initRepository(path, { algorithm, insecure: true });
  return { path, pulled: await pull(path, join(folder, 'archive')) };
}

async function pull(path: string, archive: string): Promise<PulledCommit> {
  using repository = await Repository.open(path, { write: true });
  using source = OstreeFolder.open(archive);
  const policy = { take: 'copy', trusted: true } as const;
  return await pullCommit(repository, folderSource(source, policy), source.resolve('web'), { ref: 'web' });
}

async function migrate(path: string, algorithm: Algorithm): Promise<void> {
  using repository = await Repository.open(path, { write: true });
  await changeAlgorithm(repository, path, algorithm);
}

/** The tree without the ids of objects, after looking at everything. */
async function soundTree(path: string, commit: string): Promise<{ tree: string; stream: string; image: string }> {
  using repository = await Repository.open(path);
  const { errors } = await fsckRepository(repository, { checkCommit: commitCheck(repository, false) });
  assert.deepEqual(errors, []);
  assert.deepEqual(listCommitRefs(repository), [{ name: 'web', commit }]);
  const { objects, stream, image } = await readCommit(repository, commit);
  assert.ok(image !== undefined && repository.listImages().includes(image));
  const pieces = Array.from(printDump(commitTree(objects)), (piece) => Buffer.from(piece));
  return { tree: Buffer.concat(pieces).toString(), stream, image };
}

for (const [from, to] of [
  ['sha256', 'sha512'],
  ['sha512', 'sha256'],
] as const)
  test(`from ${from} to ${to} and back: the same commit, with all its files`, async (t) => {
    const { path, pulled } = await filled(t, from);
    const before = await soundTree(path, pulled.commit);
    await migrate(path, to);
    const between = await soundTree(path, pulled.commit);
    const shape = (tree: string): string[] => tree.split('\n').map((line) => line.split(' ').slice(0, 7).join(' '));
    assert.deepEqual(shape(between.tree), shape(before.tree));
    assert.equal(between.image.length, { sha256: 64, sha512: 128 }[to]);
    // Nothing is brought again.
    const again = await pull(path, join(path, '../archive'));
    assert.deepEqual([again.metadata, again.files, again.image], [0, 0, between.image]);
    await migrate(path, from);
    assert.deepEqual(await soundTree(path, pulled.commit), before);
  });

test('where all files are large or tiny, the migrated commit has the stream and image of a pull', async (t) => {
  const [one, other] = [await filled(t, 'sha256'), await filled(t, 'sha512')];
  const archive = join(scratch(t), 'archive');
  const { between: _, ...files } = FILES;
  writeArchive(archive, { web: files });
  for (const { path } of [one, other]) await pull(path, archive);
  const { commit, stream, image } = await pull(other.path, archive);
  await migrate(one.path, 'sha512');
  using repository = await Repository.open(one.path);
  const migrated = await readCommit(repository, commit);
  assert.deepEqual([migrated.stream, migrated.image], [stream, image]);
});

test('a commit stream that has an object twice in its table ends a migration, with the repository as it was', async (t) => {
  const { path, pulled } = await filled(t, 'sha256');
  {
    using repository = await Repository.open(path, { write: true });
    const writer = new SplitstreamWriter(CONTENT_TYPES.ostreeCommit, 'sha256');
    const [one, other] = [1, 2].map((byte) => Buffer.alloc(100, byte));
    const ids = [await repository.objects.put(one!), await repository.objects.put(other!)];
    writer.refer(Buffer.from(ids.join(''), 'hex'));
    writer.inline(Buffer.alloc(2000));
    const bytes = await writer.finish();
    // The second reference becomes the first.
    const at = bytes.indexOf(Buffer.from(ids[1]!, 'hex'));
    Buffer.from(ids[0]!, 'hex').copy(bytes, at);
    await repository.linkStream(commitContentId('1'.repeat(64)), await repository.objects.put(bytes));
  }
  await assert.rejects(migrate(path, 'sha512'), { code: 'OSTREE_STREAM', message: /twice/ });
  using repository = await Repository.open(path);
  assert.equal((await readCommit(repository, pulled.commit)).image, pulled.image);
});

test('a repository from before meta.json keeps its commits when it gets one', async (t) => {
  const { path, pulled } = await filled(t, 'sha512');
  const meta = readFileSync(join(path, 'meta.json'), 'utf8');
  rmSync(join(path, 'meta.json'));
  initRepository(path, { ensure: true, insecure: true });
  assert.equal(readFileSync(join(path, 'meta.json'), 'utf8'), meta);
  await soundTree(path, pulled.commit);
});

test('a commit without a ref goes, but not the image that somebody has open, nor a deployed one', async (t) => {
  const { path, pulled } = await filled(t, 'sha512');
  using repository = await Repository.open(path, { write: true });
  const kept = await collectGarbage(repository);
  assert.deepEqual([kept.prunedImages, kept.prunedStreams], [[], []]);
  removeCommitRef(repository, 'web');
  const { image } = pulled;
  {
    using open = new Fd(openSync(join(path, 'objects', image.slice(0, 2), image.slice(2)), 'r'));
    const report = await collectGarbage(repository);
    assert.deepEqual([report.inUse.map((use) => use.image), open.stat().size > 0], [[image], true]);
    assert.deepEqual(report.prunedStreams, [`streams/${commitContentId(pulled.commit)}`]);
  }
  mkdirSync(join(path, '../state/deploy', image), { recursive: true });
  assert.deepEqual((await collectGarbage(repository)).inUse, [{ image, by: 'deployed' }]);
  assert.equal((await fsckRepository(repository)).ok, true);
  rmSync(join(path, '../state'), { recursive: true });
  assert.deepEqual((await collectGarbage(repository)).prunedImages, [`images/${image}`]);
  assert.deepEqual(repository.listImages(), []);
});
