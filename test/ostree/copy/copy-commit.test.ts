// Commits of another composefs repository: what comes of them, in which form, and what is refused.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  cpSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
  type Stats,
} from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { BridgeError } from '../../../src/errors.js';
import { objectPath } from '../../../src/fsverity/object-id.js';
import { copyCommit } from '../../../src/ostree/copy/copy-commit.js';
import { commitXattrsWork } from '../../../src/ostree/image/dead-xattrs.js';
import type { CommitForm } from '../../../src/ostree/form.js';
import { pullLocalCommit, type PullLocalOptions } from '../../../src/ostree/local/pull-local.js';
import { OstreeFolder } from '../../../src/ostree/local/repository.js';
import { openOstreeRepository, pullCommit } from '../../../src/ostree/open.js';
import type { PulledCommit } from '../../../src/ostree/pull/pull.js';
import { listCommitRefs } from '../../../src/ostree/refs.js';
import { findInForm, readCommit } from '../../../src/ostree/stream/read-commit.js';
import { storeCommitStream } from '../../../src/ostree/stream/write-commit.js';
import { initRepository } from '../../../src/repository/init.js';
import { LOCAL_FETCH } from '../../../src/repository/local-fetch.js';
import { Repository } from '../../../src/repository/repository.js';
import { runCli } from '../../support/cli/run-cli.js';
import { fastFolder } from '../../support/fast-folder.js';
import { writeArchive } from '../../support/images/ostree-archive.js';
import { withoutLeak } from '../../support/open-fds.js';
import { digestsOf, idsOf } from '../../support/ostree/digests.js';
import { recordedRepositories } from '../../support/ostree/recorded-repositories.js';

const ALGORITHMS = ['sha256', 'sha512'] as const;
type Algorithm = (typeof ALGORITHMS)[number];

const LARGE = 'much of it '.repeat(40_000);
const OLD = {
  'usr/bin/tool': 'tool '.repeat(100),
  'usr/large': LARGE,
  // In the stream of one kind of repository, and an object in the other.
  'usr/between': 'b'.repeat(100),
  'usr/few': 'few',
  'usr/empty': '',
  'etc/same': 'same '.repeat(99),
};
const NEW = { ...OLD, 'usr/bin/tool': 'newer tool '.repeat(100), 'usr/new': 'new '.repeat(500) };
const FIXED: CommitForm = { fixXattrs: true, subpaths: [] };
const PART: CommitForm = { fixXattrs: false, subpaths: ['/etc', '/usr/bin'] };

const scratch = mkdtempSync(join(fastFolder, 'cfsbridge-test-'));
after(() => rmSync(scratch, { recursive: true, force: true }));
const archive = join(scratch, 'archive');
/** Both commits, and the later one in two other forms. */
const sources = { sha256: join(scratch, 'source-sha256'), sha512: join(scratch, 'source-sha512') };
let old: string;
let latest: string;

function emptyRepository(algorithm: Algorithm = 'sha512'): string {
  const path = mkdtempSync(join(scratch, 'repository-'));
  initRepository(path, { insecure: true, algorithm });
  return path;
}

async function fromArchive(path: string, ref: string, options: PullLocalOptions = {}): Promise<PulledCommit> {
  using repository = await Repository.open(path, { write: true });
  using folder = OstreeFolder.open(archive);
  return await pullLocalCommit(repository, folder, ref, { localFetch: 'disabled', ...options });
}

before(async () => {
  [old, latest] = writeArchive(
    archive,
    { 'web/old': OLD, 'web/new': NEW },
    { 'usr/bin/tool': new Map([['user.a\0', 'b']]) },
  ) as [string, string];
  for (const algorithm of ALGORITHMS) {
    initRepository(sources[algorithm], { insecure: true, algorithm });
    for (const ref of ['web/old', 'web/new']) await fromArchive(sources[algorithm], ref);
    for (const form of [FIXED, PART]) await fromArchive(sources[algorithm], 'web/new', { form });
  }
});

async function copy(from: string, to: string, ref: string, options: PullLocalOptions = {}): Promise<PulledCommit> {
  return await withoutLeak(async () => {
    using source = await Repository.open(from);
    using target = await Repository.open(to, { write: true });
    return await copyCommit(source, target, ref, options);
  });
}

async function chunkOf(path: string, commit: string, form: CommitForm): Promise<Buffer> {
  using repository = await Repository.open(path);
  return (await findInForm(repository, commit, form))!.objects.whole.bytes;
}

async function namesIn(path: string): Promise<string[]> {
  using repository = await Repository.open(path);
  return listCommitRefs(repository).map(({ name }) => name);
}

function assertSound(path: string): void {
  const { status, stdout } = runCli(['--repo', path, 'fsck']);
  assert.equal(status, 0, stdout);
}

for (const from of ALGORITHMS)
  for (const to of ALGORITHMS)
    test(`from ${from} to ${to} a commit becomes what it is when it comes from ostree`, async () => {
      const [target, judge] = [emptyRepository(to), emptyRepository(to)];
      const { stdout, stderr, status } = runCli(['--repo', target, 'ostree', 'pull-local', sources[from], 'web/new']);
      assert.equal(status, 0, stderr);
      const right = await fromArchive(judge, 'web/new');
      assert.equal(
        stdout,
        `commit  ${latest}\nverity  ${right.stream}\nimage   ${right.image}\ntagged  web/new\n` +
          `objects ${right.metadata} metadata + ${right.files} files fetched\n`,
      );
      assertSound(target);
      assert.deepEqual(await namesIn(target), ['web/new']);
      assert.deepEqual(readdirSync(join(target, 'images')), [right.image]);
    });

test('commits that ostree made, with symlinks, xattrs and special modes, come whole', async (t) => {
  const recorded = recordedRepositories(t, 'deltas');
  const [one, other, judge] = [emptyRepository('sha256'), emptyRepository('sha512'), emptyRepository('sha512')];
  const pull = (repository: string, from: string): string => {
    const { status, stdout, stderr } = runCli(['--repo', repository, 'ostree', 'pull-local', from, 'd/b']);
    assert.equal(status, 0, stderr);
    return stdout;
  };
  pull(one, join(recorded, 'archive'));
  assert.equal(pull(other, one), pull(judge, join(recorded, 'archive')));
  assertSound(other);
});

/** Whether the file of an object is the other repository's own. */
function isShared(target: string, id: string, from: string): boolean {
  const [a, b] = [target, from].map((path) => statSync(join(path, 'objects', objectPath(id)))) as [Stats, Stats];
  return a.ino === b.ino && a.dev === b.dev;
}

/** Where extents can be shared, inodes need not be. */
function canClone(file: string): boolean {
  return spawnSync('cp', ['--reflink=always', file, join(scratch, 'clone')]).status === 0;
}

for (const localFetch of LOCAL_FETCH)
  test(`with --local-fetch ${localFetch}, inodes are ${localFetch === 'disabled' || localFetch === 'reflink' ? 'not ' : ''}shared`, async () => {
    const target = emptyRepository();
    const words = ['ostree', 'pull-local', '--local-fetch', localFetch, sources.sha512, 'web/new'];
    const { status, stderr } = runCli(['--repo', target, ...words]);
    assert.equal(status, 0, stderr);
    using repository = await Repository.open(target);
    const { objects } = await readCommit(repository, latest);
    const files = idsOf(objects.references);
    assert.ok(files.length > 3);
    const shared = files.filter((id) => isShared(target, id, sources.sha512)).length;
    const wanted = localFetch === 'auto' || localFetch === 'zerocopy';
    assert.equal(shared, wanted && !canClone(join(sources.sha512, 'meta.json')) ? files.length : 0);
  });

test('what the repository has is not brought again, and the base counts', async () => {
  const target = emptyRepository();
  await copy(sources.sha256, target, 'web/old');
  const again = await copy(sources.sha256, target, 'web/old');
  assert.deepEqual([again.metadata, again.files], [0, 0]);
  const based = await copy(sources.sha256, target, 'web/new', { base: 'web/old' });
  // The commit, its root, usr and usr/bin; the changed file and the new one.
  assert.deepEqual([based.metadata, based.files, based.reused], [4, 2, 0]);
  const baseless = copy(sources.sha256, emptyRepository(), 'web/old', { base: 'none' });
  await assert.rejects(baseless, /base commit none not found/);
});

test('a commit that is asked for by its id gets no name', async () => {
  const target = emptyRepository();
  const { ref, commit } = await copy(sources.sha512, target, old.toUpperCase());
  assert.deepEqual([ref, commit], [undefined, old]);
  assert.deepEqual(await namesIn(target), []);
});

test('forms of their own come as what they are, under their own names', async () => {
  for (const to of ALGORITHMS) {
    const [target, judge] = [emptyRepository(to), emptyRepository(to)];
    for (const [name, form] of [
      ['web/new:fixed-xattrs', FIXED],
      ['web/new:/etc:/usr/bin', PART],
    ] as const) {
      const { ref, image } = await copy(sources.sha256, target, name);
      const right = await fromArchive(judge, 'web/new', { form });
      assert.deepEqual([ref, image], [name, right.image]);
      assert.deepEqual(await chunkOf(target, latest, form), await chunkOf(judge, latest, form));
    }
    assert.deepEqual(await namesIn(target), ['web/new:/etc:/usr/bin', 'web/new:fixed-xattrs']);
    assertSound(target);
  }
});

test('a name that somebody gave to a part is its name here, too', async () => {
  const source = copyOf();
  assert.equal(runCli(['--repo', source, 'ostree', 'tag', 'web/new:/etc:/usr/bin', 'tested']).status, 0);
  const target = emptyRepository();
  assert.equal((await copy(source, target, 'tested')).ref, 'tested');
  assert.deepEqual(await namesIn(target), ['tested']);
});

test('of a whole commit a part is taken, or fixed xattrs; of a part no other one', async () => {
  const target = emptyRepository();
  const part = { fixXattrs: false, subpaths: ['/usr/bin'] };
  assert.equal((await copy(sources.sha256, target, 'web/new', { form: part })).ref, 'web/new:/usr/bin');
  assert.equal((await copy(sources.sha256, target, 'web/old', { form: FIXED })).ref, 'web/old:fixed-xattrs');
  assertSound(target);
  await assert.rejects(copy(sources.sha256, target, 'web/new:/etc:/usr/bin', { form: part }), (error: BridgeError) => {
    assert.equal(error.code, 'INVALID_NAME');
    assert.match(error.message, /web\/new:\/etc:\/usr\/bin of .* is a commit in a form of its own/);
    return true;
  });
});

test('a repository that has only the part gives that, and says that it has no more', async () => {
  const source = emptyRepository();
  await copy(sources.sha256, source, 'web/new:/etc:/usr/bin');
  const target = emptyRepository();
  assert.equal((await copy(source, target, 'web/new', { form: PART })).ref, 'web/new:/etc:/usr/bin');
  await assert.rejects(copy(source, target, 'web/new'), /has no commit of the name web\/new$/);
  await assert.rejects(copy(source, target, latest), new RegExp(`does not have all of commit ${latest}`));
  assert.equal((await copy(source, target, latest, { form: PART })).ref, undefined);
});

test('a repository may be its own source', async () => {
  const path = copyOf();
  const { status, stdout, stderr } = runCli([
    '--repo',
    path,
    'ostree',
    'pull-local',
    '--subpath',
    '/usr',
    path,
    'web/new',
  ]);
  assert.equal(status, 0, stderr);
  assert.match(stdout, /tagged {2}web\/new:\/usr\n/);
  assertSound(path);
});

test('with keys it is said that nobody can tell who signed', async () => {
  const target = emptyRepository();
  const key = Buffer.alloc(32).toString('base64');
  const words = ['ostree', 'pull-local', '--verify-ed25519', key, sources.sha512, 'web/new'];
  const { status, stderr } = runCli(['--repo', target, ...words]);
  assert.equal(status, 1);
  assert.match(stderr, /is a composefs repository, and these keep no signatures of commits/);
  // Neither for one that is here.
  await copy(sources.sha512, target, 'web/new');
  assert.equal(runCli(['--repo', target, ...words]).status, 1);
});

test('programs open such a repository as they open those of ostree, and so does a file URL', async () => {
  const target = emptyRepository();
  await withoutLeak(async () => {
    using repository = await Repository.open(target, { write: true });
    await using from = openOstreeRepository(sources.sha256);
    assert.equal(from.place, sources.sha256);
    const { commit, ref } = await pullCommit(repository, from, 'web/old');
    assert.deepEqual([commit, ref], [old, 'web/old']);
    const form = { fixXattrs: false, subpaths: ['usr/bin/', '/usr/bin/tool', '/etc'] };
    assert.equal((await pullCommit(repository, from, 'web/new', { form })).ref, 'web/new:/etc:/usr/bin');
    await pullCommit(repository, from, 'web/new', { form: FIXED });
    await pullCommit(repository, from, 'web/new');
    for (const [name, work] of [
      ['web/new', false],
      ['web/new:fixed-xattrs', true],
    ] as const)
      assert.equal(await commitXattrsWork(repository, name), work);
    await assert.rejects(pullCommit(repository, from, 'web/none'), /has no commit of the name web\/none/);
  });
  const another = emptyRepository();
  const { status, stderr } = runCli(['--repo', another, 'ostree', 'pull', `file://${sources.sha256}`, 'web/new']);
  assert.equal(status, 0, stderr);
  assert.deepEqual(await namesIn(another), ['web/new']);
});

test('a folder that is neither is said to be none', () => {
  const folder = mkdtempSync(join(scratch, 'folder-'));
  const { status, stderr } = runCli(['--repo', emptyRepository(), 'ostree', 'pull-local', folder, 'x']);
  assert.equal(status, 1);
  assert.match(stderr, /is no ostree repository: it has no config/);
});

/** A repository that may be damaged. */
function copyOf(algorithm: Algorithm = 'sha512'): string {
  const path = mkdtempSync(join(scratch, 'copy-'));
  cpSync(sources[algorithm], path, { recursive: true, verbatimSymlinks: true });
  return path;
}

const damage = (file: string): void => {
  const bytes = readFileSync(file);
  bytes[bytes.length >> 1]! ^= 0x40;
  writeFileSync(file, bytes);
};

/** Where the content of usr/large is. */
async function largeIn(path: string): Promise<{ file: string; id: string }> {
  using repository = await Repository.open(path);
  const { objects } = await readCommit(repository, latest);
  const entry = Array.from(objects).find(
    ({ object }) => object !== undefined && statSync(join(path, 'objects', objectPath(object))).size === LARGE.length,
  )!;
  return { file: join(path, 'objects', objectPath(entry.object!)), id: entry.id };
}

/** Replaces the stream of the commit by one that is what its own digest says. */
async function restream(path: string, change: (chunk: Buffer, objects: string[]) => void): Promise<void> {
  using repository = await Repository.open(path, { write: true });
  const { objects, image } = await readCommit(repository, latest);
  const bytes = Buffer.from(objects.chunk);
  const files = idsOf(objects.references);
  change(bytes, files);
  const wrong = { bytes, objects: digestsOf(repository.algorithm, files) };
  await repository.linkStream(`ostree-commit-${latest}`, await storeCommitStream(repository, wrong, image));
}

const STREAM = (path: string): string => realpathSync(join(path, `streams/ostree-commit-${latest}`));

/** What is wrong with the other repository, and what is said. */
const BAD: readonly [what: string, apply: (path: string) => void | Promise<void>, message: RegExp][] = [
  [
    'whose commit stream is damaged',
    (path) => damage(STREAM(path)),
    /is no whole stream|[0-9a-f]{64}, got [0-9a-f]{64}/,
  ],
  [
    'whose commit stream is cut',
    (path) => writeFileSync(STREAM(path), readFileSync(STREAM(path)).subarray(0, 70)),
    /no whole stream/,
  ],
  ['whose commit stream is missing', (path) => rmSync(STREAM(path)), /object [0-9a-f]{128} is missing/],
  [
    'whose commit stream is that of another commit',
    (path) => {
      rmSync(join(path, `streams/ostree-commit-${latest}`));
      symlinkSync(
        `../objects/${objectPath(
          realpathSync(join(path, `streams/ostree-commit-${old}`))
            .split('/')
            .slice(-2)
            .join(''),
        )}`,
        join(path, `streams/ostree-commit-${latest}`),
      );
    },
    /has commit [0-9a-f]{64}; fsck tells more/,
  ],
  [
    'without the content of a file',
    async (path) => rmSync((await largeIn(path)).file),
    /the content of file [0-9a-f]{64}, is missing in .*"\/usr\/large"/,
  ],
  [
    'with other content in a file',
    async (path) => damage((await largeIn(path)).file),
    /Unexpected file checksum.*"\/usr\/large"/s,
  ],
  [
    'with a file that is longer',
    async (path) => writeFileSync((await largeIn(path)).file, `${LARGE}!`),
    /has 440001 bytes instead of 440000 \(entry "\/usr\/large"\)/,
  ],
  [
    'with a file that is shorter',
    async (path) => writeFileSync((await largeIn(path)).file, LARGE.slice(1)),
    /has 439999 bytes instead of 440000/,
  ],
  [
    'with a symlink in the place of a file',
    async (path) => {
      const { file } = await largeIn(path);
      rmSync(file);
      const secret = join(scratch, 'secret');
      writeFileSync(secret, LARGE);
      symlinkSync(secret, file);
    },
    /is a symlink or behind one/,
  ],
  [
    'in whose stream two files have the content of each other',
    (path) => restream(path, (_, objects) => objects.push(...objects.splice(0, 2).reverse(), ...objects.splice(0))),
    /has \d+ bytes instead of|Unexpected file checksum/,
  ],
  [
    'in whose stream a small file has other content',
    (path) => restream(path, (chunk) => chunk.write('FEW', chunk.lastIndexOf('few'))),
    /Unexpected file checksum.*"\/usr\/few"/s,
  ],
  [
    'in whose stream a folder has another name in it',
    (path) => restream(path, (chunk) => chunk.write('largf', chunk.indexOf('large\0'))),
    /dirtree.*expected [0-9a-f]{64}|[0-9a-f]{64}, got/,
  ],
  [
    'in whose stream the commit is forged',
    (path) => restream(path, (chunk) => chunk.write('evil/new', chunk.indexOf('web/new\0'))),
    /commit.*[0-9a-f]{64}, got|expected/i,
  ],
];

for (const [what, apply, message] of BAD)
  test(`a repository ${what} gives an error, and nothing gets a name`, async () => {
    const source = copyOf();
    await apply(source);
    for (const algorithm of ALGORITHMS) {
      const target = emptyRepository(algorithm);
      await assert.rejects(copy(source, target, 'web/new'), (error) => {
        assert.ok(error instanceof BridgeError, String(error));
        assert.match(error.message, message);
        return true;
      });
      using repository = await Repository.open(target);
      assert.deepEqual(
        [...repository.listStreams(), ...repository.listImages(), ...repository.listRefs('streams')],
        [],
      );
      assertSound(target);
    }
  });
