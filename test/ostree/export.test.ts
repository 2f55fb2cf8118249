import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, statSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { commitCheck } from '../../src/ostree/fsck.js';
import { exportCommit } from '../../src/ostree/export/export.js';
import { OstreeFolder } from '../../src/ostree/local/repository.js';
import { folderSource } from '../../src/ostree/local/source.js';
import { pullCommit } from '../../src/ostree/pull/pull.js';
import { CommitStreamBuilder } from '../../src/ostree/stream/commit-stream-builder.js';
import { readCommit } from '../../src/ostree/stream/read-commit.js';
import { storeCommitStream } from '../../src/ostree/stream/write-commit.js';
import { fsckRepository } from '../../src/repository/fsck/fsck.js';
import { collectGarbage } from '../../src/repository/gc/gc.js';
import { initRepository } from '../../src/repository/init.js';
import { commitContentId } from '../../src/repository/names.js';
import { Repository } from '../../src/repository/repository.js';
import { startCli } from '../support/cli/start-cli.js';
import { writeArchive } from '../support/images/ostree-archive.js';
import { scratch } from '../support/scratch.js';

const FILES = { empty: '', small: 'a few bytes', large: Buffer.alloc(2 << 20, 'some text '), medium: 'x'.repeat(200) };
const POLICY = { take: 'copy', trusted: true } as const;

async function pulled(t: TestContext, path: string, ref: string): Promise<{ repository: Repository; id: string }> {
  const folder = scratch(t);
  initRepository(folder, { algorithm: 'sha512', insecure: true });
  const repository = await Repository.open(folder, { write: true });
  t.after(() => repository.close());
  using source = OstreeFolder.open(path);
  const { commit } = await pullCommit(repository, folderSource(source, POLICY), source.resolve(ref), { ref });
  return { repository, id: commit };
}

function emptyFolder(t: TestContext, mode: string): string {
  const folder = scratch(t, { config: `[core]\nrepo_version=1\nmode=${mode}\n` });
  for (const name of ['objects', 'tmp', 'refs/heads']) mkdirSync(join(folder, name), { recursive: true });
  return folder;
}

const problemsOf = async (repository: Repository): Promise<string[]> =>
  (await fsckRepository(repository, { checkCommit: commitCheck(repository, false) })).errors.map(
    ({ detail }) => detail ?? '',
  );

for (const mode of ['bare', 'bare-user', 'bare-user-only'])
  test(`what is exported to ${mode} is the same commit when it is pulled again`, async (t) => {
    if (mode === 'bare' && process.geteuid?.() !== 0) return t.skip('needs root, for owners');
    const archive = scratch(t);
    writeArchive(archive, { web: FILES });
    const { repository, id } = await pulled(t, archive, 'web');
    const target = emptyFolder(t, mode);
    using folder = OstreeFolder.open(target);
    await exportCommit(repository, await readCommit(repository, id), folder, { ref: 'a/b' });
    const again = await pulled(t, target, 'a/b');
    const [one, other] = await Promise.all([readCommit(repository, id), readCommit(again.repository, again.id)]);
    assert.deepEqual(other.objects.whole, one.objects.whole);
    assert.equal(other.image, one.image);
    assert.deepEqual(await problemsOf(again.repository), []);
  });

test('no file is written twice', async (t) => {
  const archive = scratch(t);
  writeArchive(archive, { web: FILES });
  const { repository, id } = await pulled(t, archive, 'web');
  const target = emptyFolder(t, 'bare-user');
  using folder = OstreeFolder.open(target);
  const inodes = (): string[] =>
    readdirSync(join(target, 'objects'), { recursive: true, encoding: 'utf8' })
      .sort()
      .map((name) => `${name} ${statSync(join(target, 'objects', name)).ino}`);
  await exportCommit(repository, await readCommit(repository, id), folder);
  const before = inodes();
  await exportCommit(repository, await readCommit(repository, id), folder);
  assert.deepEqual(inodes(), before);
});

test('an export that is killed leaves no ref and no commit of which anything is missing', async (t) => {
  const archive = scratch(t);
  const files = Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`${i}/file`, `content ${i} `.repeat(20)]));
  writeArchive(archive, { web: files });
  const { repository, id } = await pulled(t, archive, 'web');
  repository.close();
  const target = emptyFolder(t, 'bare-user');
  const objects = (): string[] => readdirSync(join(target, 'objects'), { recursive: true, encoding: 'utf8' });
  const words = ['--repo', repository.path, 'ostree', 'export', 'web', target, '--reference', 'web'];
  let during = 0;
  for (const count of [1, 150, 300, 400, 550, 601]) {
    const { child, ended } = startCli(words);
    while (child.exitCode === null && objects().filter((name) => name.includes('.')).length < count)
      await setImmediate();
    child.kill('SIGKILL');
    const { status } = await ended;
    const [refs, commits] = [
      readdirSync(join(target, 'refs/heads')),
      objects().filter((name) => name.endsWith('.commit')),
    ];
    if (status === null && refs.length === 0) during++;
    assert.ok(refs.every((name) => name === 'web') && commits.length >= refs.length, [...refs, ...commits].join(' '));
    // All of it is there.
    if (commits.length > 0) assert.equal((await pulled(t, target, id)).id, id);
  }
  assert.ok(during > 0, 'a kill hits an export that is not done');
  const { status, stderr } = await startCli(words).ended;
  assert.equal(status, 0, stderr);
  assert.equal((await pulled(t, target, 'web')).id, id);
});

test('archives are not written to, and nothing with special bits or owners to bare-user-only', async (t) => {
  const archive = scratch(t);
  writeArchive(archive, { web: FILES });
  const { repository, id } = await pulled(t, archive, 'web');
  using folder = OstreeFolder.open(archive);
  await assert.rejects(exportCommit(repository, await readCommit(repository, id), folder), { code: 'UNSUPPORTED' });
});

test('fsck finds a file whose content is not that of its id, inline and as an object', async (t) => {
  const archive = scratch(t);
  writeArchive(archive, { web: FILES });
  const { repository, id } = await pulled(t, archive, 'web');
  const { objects } = await readCommit(repository, id);
  const entries = [...objects];
  const others = entries.flatMap(({ object }) => object ?? []);
  for (const forge of ['inline', 'object'] as const) {
    const builder = new CommitStreamBuilder(repository.algorithm);
    let forged = '';
    for (const { id: entry, data, object } of entries) {
      const isOne = forged === '' && (forge === 'object' ? object !== undefined : data.includes('a few bytes'));
      if (isOne) forged = entry;
      const bytes =
        isOne && forge === 'inline' ? Buffer.from(data.toString('latin1').replace('few', 'FEW'), 'latin1') : data;
      builder.add(entry, bytes, isOne && object ? others.find((other) => other !== object) : object);
    }
    await repository.linkStream(commitContentId(id), await storeCommitStream(repository, builder.finish(id)));
    const [problem = '', ...more] = await problemsOf(repository);
    assert.deepEqual(more, []);
    assert.match(problem, new RegExp(`ostree commit ${id}: file ${forged} has `));
  }
});

test('gc keeps a commit with a name, its image and its files, and takes one without', async (t) => {
  const archive = scratch(t);
  const [, second = ''] = writeArchive(archive, { web: FILES, other: { ...FILES, more: 'y'.repeat(1000) } });
  const { repository, id } = await pulled(t, archive, 'web');
  {
    using source = OstreeFolder.open(archive);
    await pullCommit(repository, folderSource(source, POLICY), second);
  }
  assert.equal(repository.listImages().length, 2);
  await repository.lockExclusive();
  await collectGarbage(repository);
  assert.deepEqual(repository.listStreams(), [commitContentId(id)]);
  assert.deepEqual(repository.listImages(), [(await readCommit(repository, id)).image]);
  assert.deepEqual(await problemsOf(repository), []);
});

test('objects that any commit of the repository has are not asked for', async (t) => {
  const archive = scratch(t);
  const [, second = ''] = writeArchive(archive, { web: FILES, other: { ...FILES, more: 'y'.repeat(1000) } });
  const { repository } = await pulled(t, archive, 'web');
  using folder = OstreeFolder.open(archive);
  const source = folderSource(folder, POLICY);
  const asked: string[] = [];
  const { files, reused } = await pullCommit(
    repository,
    {
      ...source,
      metadata: (kind, id, signal) => {
        asked.push(kind);
        return source.metadata(kind, id, signal);
      },
      file: (id, signal) => {
        asked.push('file');
        return source.file(id, signal);
      },
    },
    second,
  );
  assert.deepEqual(asked.sort(), ['commit', 'dirtree', 'file']);
  assert.deepEqual({ files, reused }, { files: 5, reused: 5 });
});

test('a file of another commit whose content is lost is fetched again', async (t) => {
  const archive = scratch(t);
  const [first = '', second = ''] = writeArchive(archive, { web: FILES, other: { ...FILES, more: 'y'.repeat(1000) } });
  const before = (await pulled(t, archive, 'web')).repository;
  const { objects } = await readCommit(before, first);
  const [lost] = [...objects].flatMap(({ object }) => object ?? []);
  unlinkSync(join(before.path, 'objects', lost!.slice(0, 2), lost!.slice(2)));
  // One that knew the object as stored would not look again.
  using repository = await Repository.open(before.path, { write: true });
  using folder = OstreeFolder.open(archive);
  const { files, reused } = await pullCommit(repository, folderSource(folder, POLICY), second);
  assert.deepEqual({ files, reused }, { files: 5, reused: 4 });
  assert.deepEqual(await problemsOf(repository), []);
});
