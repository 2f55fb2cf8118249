// Commits that are not kept as cfsctl keeps them: with xattrs that work, and parts.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import { bytesOf } from '../../src/bytes.js';
import { readErofs } from '../../src/erofs/read/reader.js';
import { openPath } from '../../src/fd/fd.js';
import { readAt } from '../../src/fd/read-file.js';
import { setXattr } from '../../src/fd/xattrs.js';
import { exportCommit } from '../../src/ostree/export/export.js';
import { formOf, imageRefOf, subpathsOf, type CommitForm } from '../../src/ostree/form.js';
import { commitCheck } from '../../src/ostree/fsck.js';
import { hasDeadXattrs } from '../../src/ostree/image/dead-xattrs.js';
import { commitTree } from '../../src/ostree/image/tree.js';
import { commitJson } from '../../src/ostree/inspect.js';
import { OstreeFolder } from '../../src/ostree/local/repository.js';
import { folderSource } from '../../src/ostree/local/source.js';
import { pullCommit, type PullCommitOptions, type PulledCommit } from '../../src/ostree/pull/pull.js';
import type { ObjectSource } from '../../src/ostree/pull/source.js';
import { listCommitRefs, readCommitRef, resolveStored } from '../../src/ostree/refs.js';
import { readStored, type StoredCommit } from '../../src/ostree/stream/read-commit.js';
import { fsckRepository } from '../../src/repository/fsck/fsck.js';
import { collectGarbage } from '../../src/repository/gc/gc.js';
import { initRepository } from '../../src/repository/init.js';
import { Repository } from '../../src/repository/repository.js';
import type { Directory } from '../../src/tree/tree.js';
import { cfsbridge, runCli } from '../support/cli/run-cli.js';
import { writeArchive } from '../support/images/ostree-archive.js';
import { archiveServer } from '../support/ostree/archive-server.js';
import { scratch } from '../support/scratch.js';

const POLICY = { take: 'copy', trusted: true } as const;
const FIXED = { fixXattrs: true, subpaths: [] };
const FILES = {
  'usr/bin/tool': 'tool '.repeat(100),
  'usr/share/doc/tool': 'how to use the tool',
  'usr/share/locale/de': 'Werkzeug '.repeat(100),
  'usr/share/locale/fr': 'outil '.repeat(100),
  'etc/tool.conf': 'tool '.repeat(100),
};
const label = (text: string): Map<string, string> => new Map([['security.selinux\0', `${text}\0`]]);
const XATTRS = { '': label('root'), usr: label('usr'), 'usr/bin/tool': new Map([['user.a\0', 'b']]) };

async function emptyRepository(t: TestContext): Promise<{ path: string; repository: Repository }> {
  const path = scratch(t);
  initRepository(path, { insecure: true });
  const repository = await Repository.open(path, { write: true });
  t.after(() => repository.close());
  return { path, repository };
}

interface Pulled {
  readonly pulled: PulledCommit;
  /** what was asked for */
  readonly asked: string[];
}

async function pull(
  repository: Repository,
  archive: string,
  ref: string,
  options: PullCommitOptions = {},
): Promise<Pulled> {
  using folder = OstreeFolder.open(archive);
  const source = folderSource(folder, POLICY);
  const asked: string[] = [];
  const noted: ObjectSource = {
    ...source,
    metadata: (kind, id, signal) => {
      asked.push(kind);
      return source.metadata(kind, id, signal);
    },
    file: (id, signal) => {
      asked.push('file');
      return source.file(id, signal);
    },
  };
  return { pulled: await pullCommit(repository, noted, folder.resolve(ref), { ref, ...options }), asked };
}

const stored = async (repository: Repository, name: string): Promise<StoredCommit> =>
  await readStored(repository, resolveStored(repository, name));

function imageTree(repository: Repository, image: string): Directory {
  using file = repository.objects.open(image);
  return readErofs(readAt(file, 0, file.stat().size)).root;
}

/** Paths of files and folders, and the names of their xattrs. */
function listed({ entries, xattrs }: Directory, path = ''): string[] {
  const own = [...xattrs.keys()].map((name) => `${path || '/'} ${JSON.stringify(name)}`);
  return [
    ...own,
    ...[...entries]
      .sort(([one], [other]) => (one < other ? -1 : 1))
      .flatMap(([name, node]) => {
        const below = `${path}/${name}`;
        if (node.kind === 'directory') return listed(node, below);
        return [below, ...[...node.xattrs.keys()].map((xattr) => `${below} ${JSON.stringify(xattr)}`)];
      }),
  ];
}

const problemsOf = async (repository: Repository): Promise<string[]> =>
  (await fsckRepository(repository, { checkCommit: commitCheck(repository, false) })).errors.map(
    ({ detail }) => detail ?? '',
  );

test('with fixed xattrs a commit has another image, stream and name, and nothing is fetched twice', async (t) => {
  const archive = scratch(t);
  writeArchive(archive, { 'a/b': FILES }, XATTRS);
  const { repository } = await emptyRepository(t);
  const { pulled: whole } = await pull(repository, archive, 'a/b');
  const { pulled: fixed, asked } = await pull(repository, archive, 'a/b', { form: FIXED });
  assert.deepEqual(asked, []);
  assert.deepEqual([fixed.metadata, fixed.files, fixed.ref], [0, 0, 'a/b:fixed-xattrs']);
  assert.notEqual(fixed.image, whole.image);
  const names = (tree: Directory): string[] => listed(tree).filter((line) => line.includes(' '));
  assert.deepEqual(names(imageTree(repository, fixed.image)), [
    '/ "security.selinux"',
    '/usr "security.selinux"',
    '/usr/bin/tool "user.a"',
  ]);
  assert.deepEqual(
    names(commitTree((await stored(repository, 'a/b')).objects)),
    names(imageTree(repository, fixed.image)).map((line) => line.replace(/"$/, '\\u0000"')),
  );
  const [one, other] = [await stored(repository, 'a/b'), await stored(repository, 'a/b:fixed-xattrs')];
  assert.deepEqual(other.objects.whole, one.objects.whole);
  assert.deepEqual(
    [one, other].map((commit) => hasDeadXattrs(repository, commit)),
    [true, false],
  );
  assert.equal(readCommitRef(repository, 'a/b:fixed-xattrs'), undefined);
  assert.deepEqual(
    listCommitRefs(repository).map(({ name }) => name),
    ['a/b', 'a/b:fixed-xattrs'],
  );
  const { pulled: again, asked: none } = await pull(repository, archive, 'a/b', { form: FIXED });
  assert.deepEqual([again.image, again.stream, none], [fixed.image, fixed.stream, []]);
});

test('what is kept otherwise lives as long as its name', async (t) => {
  const archive = scratch(t);
  writeArchive(archive, { 'a/b': FILES }, XATTRS);
  const { path, repository } = await emptyRepository(t);
  const { pulled } = await pull(repository, archive, 'a/b', { form: FIXED });
  await repository.lockExclusive();
  await collectGarbage(repository);
  assert.deepEqual(repository.listImages(), [pulled.image]);
  assert.deepEqual(await problemsOf(repository), []);
  repository.close();
  const cli = (...words: string[]): string => {
    const { status, stdout, stderr } = runCli(['--repo', path, ...words]);
    assert.equal(status, 0, stderr);
    return stdout;
  };
  assert.equal(cli('ostree', 'compute-id', 'a/b:fixed-xattrs'), `${pulled.image}\n`);
  cli('ostree', 'tag', 'a/b:fixed-xattrs', 'tested');
  cli('ostree', 'untag', 'a/b:fixed-xattrs');
  assert.match(cli('ostree', 'dump', 'tested'), /^\/usr\/bin\/tool .* user\.a=b$/m);
  assert.match(cli('ostree', 'images'), new RegExp(`tested .* ${pulled.commit}`));
  cli('gc');
  cli('fsck');
  assert.equal(readdirSync(join(path, 'images')).filter((name) => name !== 'refs').length, 1);
  cli('ostree', 'untag', 'tested');
  cli('gc');
  assert.deepEqual(
    readdirSync(join(path, 'objects'), { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile()),
    [],
  );
});

test('a mount says that xattrs do not work, unless they are fixed', async (t) => {
  const archive = scratch(t);
  writeArchive(archive, { 'a/b': FILES }, XATTRS);
  const { path, repository } = await emptyRepository(t);
  repository.close();
  for (const [options, name, warned] of [
    [[], 'a/b', true],
    [['--fix-xattrs'], 'a/b:fixed-xattrs', false],
  ] as const) {
    const { status, stderr } = runCli(['--repo', path, 'ostree', 'pull-local', archive, 'a/b', ...options]);
    assert.equal(status, 0, stderr);
    const mounted = runCli(['--repo', path, 'ostree', 'mount', name, join(path, 'nowhere')]);
    assert.notEqual(mounted.status, 0);
    assert.equal(/xattrs of this image do not work.*--fix-xattrs/.test(mounted.stderr), warned, mounted.stderr);
  }
});

test('a mount does not say so of a commit whose image it was made of', (t) => {
  const path = scratch(t);
  initRepository(path, { insecure: true });
  const folder = scratch(t, { file: 'a text' });
  {
    using file = openPath(bytesOf(join(folder, 'file')));
    setXattr(file, 'user.a', Buffer.from('b'));
  }
  const made = runCli(['--repo', path, 'ostree', 'commit', folder, '--reference', 'made']);
  assert.equal(made.status, 0, made.stderr);
  assert.match(runCli(['--repo', path, 'ostree', 'inspect', '--json', 'made']).stdout, /"user\.a"/);
  const { stderr } = runCli(['--repo', path, 'ostree', 'mount', 'made', join(path, 'nowhere')]);
  assert.doesNotMatch(stderr, /xattrs/);
});

const part = (...subpaths: string[]): { form: CommitForm } => ({ form: { fixXattrs: false, subpaths } });

test('of a part of a commit only that is fetched, with the folders on the way', async (t) => {
  const archive = scratch(t);
  writeArchive(archive, { 'a/b': FILES });
  const { repository } = await emptyRepository(t);
  const options = part('/etc/tool.conf', '/usr/share/locale');
  const { pulled, asked } = await pull(repository, archive, 'a/b', options);
  assert.ok(pulled.ref !== undefined);
  const count = (kind: string): number => asked.filter((each) => each === kind).length;
  // The trees of the root, etc, usr, share and locale; all folders have the same metadata.
  assert.deepEqual(['commit', 'dirtree', 'dirmeta', 'file'].map(count), [1, 5, 1, 3]);
  assert.equal(pulled.ref, 'a/b:/etc/tool.conf:/usr/share/locale');
  const { objects, form, image = '' } = await stored(repository, pulled.ref);
  const files = listed(commitTree(objects, form)).filter((line) => !line.includes(' '));
  assert.deepEqual(files, ['/etc/tool.conf', '/usr/share/locale/de', '/usr/share/locale/fr']);
  const found = imageTree(repository, image).entries.get('usr');
  assert.ok(found?.kind === 'directory');
  assert.deepEqual([...found.entries.keys()], ['share']);
  assert.deepEqual(form, options.form);
  assert.deepEqual(await problemsOf(repository), []);
  const text = JSON.stringify(commitJson(await stored(repository, pulled.ref), repository.algorithm));
  assert.equal(text.split('"kind":"file"').length - 1, 3);
  using target = OstreeFolder.open(archive);
  await assert.rejects(exportCommit(repository, await stored(repository, pulled.ref), target), { code: 'UNSUPPORTED' });
});

test('the rest of a commit comes without the part that is there, and another part is in the whole', async (t) => {
  const archive = scratch(t);
  writeArchive(archive, { 'a/b': FILES }, XATTRS);
  const { repository } = await emptyRepository(t);
  await pull(repository, archive, 'a/b', part('/usr/share/locale'));
  const { pulled, asked } = await pull(repository, archive, 'a/b');
  assert.equal(asked.filter((kind) => kind === 'file').length, Object.keys(FILES).length - 2);
  const { repository: other } = await emptyRepository(t);
  assert.equal(pulled.image, (await pull(other, archive, 'a/b')).pulled.image);
  assert.deepEqual((await pull(repository, archive, 'a/b', part('/usr/bin'))).asked, []);
});

test('a path that the commit does not have is an error, and nothing gets a name', async (t) => {
  const archive = scratch(t);
  writeArchive(archive, { 'a/b': FILES }, XATTRS);
  const { repository } = await emptyRepository(t);
  for (const path of ['/usr/games', '/usr/bin/tool/x', '/usr/share/locale/es'])
    await assert.rejects(pull(repository, archive, 'a/b', part(path)), {
      code: 'NOT_FOUND',
      message: new RegExp(`"${path.replace('/x', '')}"`),
    });
  assert.deepEqual([repository.listStreams(), repository.listImages(), listCommitRefs(repository)], [[], [], []]);
});

test('of equal folders different parts are taken', async (t) => {
  const archive = scratch(t);
  writeArchive(archive, { equal: { 'a/x/1': 'one', 'a/y/2': 'two', 'b/x/1': 'one', 'b/y/2': 'two' } });
  const { repository } = await emptyRepository(t);
  const { pulled } = await pull(repository, archive, 'equal', part('/a/x', '/b/y'));
  assert.deepEqual(listed(imageTree(repository, pulled.image)), ['/a/x/1', '/b/y/2']);
});

test('paths are the same however they are written', () => {
  assert.deepEqual(subpathsOf(['usr/share/', '//usr//share/doc', '/etc', 'etc', '/usr/share2']), [
    '/etc',
    '/usr/share',
    '/usr/share2',
  ]);
  for (const path of ['', '/', '/usr/../etc', './usr', '/a\0b'])
    assert.throws(() => subpathsOf([path]), { code: 'INVALID_NAME' });
  for (const subpaths of [['/a:b', '/c%3Ad'], ['/a', '/b'], []])
    for (const fixXattrs of [true, false])
      assert.deepEqual(formOf([imageRefOf({ fixXattrs, subpaths })]), { fixXattrs, subpaths });
});

test('over HTTP no more than the part is asked for', async (t) => {
  const archive = scratch(t);
  writeArchive(archive, { 'a/b': FILES }, XATTRS);
  const server = await archiveServer(t, [archive]);
  const { path, repository } = await emptyRepository(t);
  repository.close();
  const options = ['--subpath', 'usr/share/locale/', '--fix-xattrs', '--json'];
  const words = ['--repo', path, 'ostree', 'pull', server.url, 'a/b', ...options];
  const { stdout } = await promisify(execFile)(cfsbridge, words);
  assert.equal((JSON.parse(stdout) as { tag: string }).tag, 'a/b:fixed-xattrs:/usr/share/locale');
  const asked = (what: string): number => server.lines().filter((line) => line.includes(what)).length;
  assert.deepEqual(['.filez', '.dirtree', '.dirmeta', '/deltas'].map(asked), [2, 4, 3, 0]);
});
