// What whoever writes an ostree repository can try with whoever pulls from it: each kind of bad input once, with the
// error that names the object and where it is.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { after, before } from 'node:test';
import { BridgeError } from '../../src/errors.js';
import { applyDeltaFile } from '../../src/ostree/delta/apply-file.js';
import { OstreeRemote } from '../../src/ostree/http/remote.js';
import { pullRemoteCommit } from '../../src/ostree/http/pull-remote.js';
import { pullLocalCommit } from '../../src/ostree/local/pull-local.js';
import { OstreeFolder } from '../../src/ostree/local/repository.js';
import { sha256, type Checksum } from '../../src/ostree/object/checksum.js';
import { encodeCommit, parseCommit } from '../../src/ostree/object/commit.js';
import { encodeDirMeta } from '../../src/ostree/object/dirmeta.js';
import { encodeDirTree, parseDirTree } from '../../src/ostree/object/dirtree.js';
import { initRepository } from '../../src/repository/init.js';
import { Repository } from '../../src/repository/repository.js';
import { NO_XATTRS } from '../../src/tree/tree.js';
import { fastFolder } from '../support/fast-folder.js';
import { fixtureJson } from '../support/fixtures.js';
import { writeArchive } from '../support/images/ostree-archive.js';
import { withoutLeak } from '../support/open-fds.js';
import { archiveServer } from '../support/ostree/archive-server.js';
import { recordedRepositories } from '../support/ostree/recorded-repositories.js';
import { noise, Random } from '../support/random.js';
import { filesBelow } from '../support/walk.js';
import { attack, whyNoAttacker } from './attack.js';
import { cfsbridge, giveAway, scene } from './stranger-repository.js';

interface Item {
  readonly commit?: Checksum;
  readonly path?: string;
}

const scratch = mkdtempSync(join(fastFolder, 'cfsbridge-test-'));
after(() => rmSync(scratch, { recursive: true, force: true }));
const { items, sessions } = fixtureJson<{
  items: Record<string, Item>;
  sessions: { title: string; steps: { args?: string[] }[] }[];
}>('ostree/bad-objects/case.json');
let recorded: string;
before((t) => (recorded = recordedRepositories(t as Parameters<typeof recordedRepositories>[0], 'bad-objects')));

async function emptyRepository(): Promise<Repository> {
  const path = mkdtempSync(join(scratch, 'repository-'));
  initRepository(path, { insecure: true });
  const repository = await Repository.open(path, { write: true });
  void repository.objects;
  return repository;
}

/** @returns the message of the error that a pull ends with, after which nothing has a name */
async function refusal(pull: (repository: Repository) => Promise<unknown>): Promise<string> {
  using repository = await emptyRepository();
  let failure: unknown;
  await withoutLeak(async () => {
    await pull(repository).catch((error: unknown) => (failure = error));
  });
  assert.ok(failure instanceof Error && 'code' in failure, String(failure));
  assert.deepEqual([...repository.listStreams(), ...repository.listImages(), ...repository.listRefs('streams')], []);
  return failure.message;
}

async function localRefusal(path: string, ref: string): Promise<string> {
  return await refusal(async (repository) => {
    using folder = OstreeFolder.open(path);
    await pullLocalCommit(repository, folder, ref);
  });
}

/** The same repository as a folder and at a server. */
async function bothRefusals(t: Parameters<typeof archiveServer>[0], path: string, ref: string): Promise<string[]> {
  const server = await archiveServer(t, [path]);
  const remote = await refusal(async (repository) => {
    await using from = new OstreeRemote(server.url, { credentials: 'nobody', retryMs: 1 });
    await pullRemoteCommit(repository, from, ref);
  });
  return [await localRefusal(path, ref), remote];
}

const PLACE = /\(entry "\/[^"]*"\)$/;

/** Recorded repositories by the beginnings of their names, and what the errors say, beside the id and the path. */
const RECORDED: readonly [what: string, names: RegExp, says: RegExp, outcome: string][] = [
  [
    'whose files have other sizes than their headers say',
    /^size-/,
    /file [0-9a-f]{64}/,
    'the size, and the size that it should be',
  ],
  ['with bytes behind the content of files', /^tail-/, /file [0-9a-f]{64}/, 'refused, whatever the checksum'],
  ['with files that are cut', /^truncated-(?!.*-in-dirtree)/, /file [0-9a-f]{64}/, 'refused'],
  [
    'in which files, folders or their metadata are missing',
    /^missing-(?!commit)/,
    /[0-9a-f]{62}/,
    'the object is named, and where it belongs',
  ],
  [
    'with names such as .., a/b and none',
    /^name-(?:dot|dir|empty|slash|absolute|not)/,
    /dirtree [0-9a-f]{64}/,
    'refused',
  ],
  ['with names twice and in disorder', /^name-(?:dup|file|unsorted)/, /dirtree [0-9a-f]{64}/, 'refused'],
  [
    'with objects that have other checksums',
    /^(?:flipped-dir|wrong-)/,
    /[0-9a-f]{64}, got [0-9a-f]{64}/,
    'both checksums',
  ],
  ['with devices, fifos and the like', /^(?:mode-|dirmeta-)/, /(?:file|dirmeta) [0-9a-f]{64}/, 'refused'],
  ['with folders that are no GVariant', /^dirtree-(?:garbage|short|empty)/, /dirtree [0-9a-f]{64}/, 'refused'],
];

for (const [what, names, says, outcome] of RECORDED)
  attack(`an ostree repository ${what}`, {}, async (t) => {
    const matching = Object.keys(items).filter((name) => names.test(name));
    assert.ok(matching.length > 0);
    for (const name of matching)
      for (const message of await bothRefusals(t, join(recorded, name), refOf(name))) {
        assert.match(message, says, name);
        assert.match(message, PLACE, name);
      }
    return `${outcome} (${matching.length} forms)`;
  });

attack('an ostree repository with commits that are others, cut or no GVariant', {}, async (t) => {
  const names = ['flipped-commit', 'commit-garbage', 'commit-short-tree', 'commit-empty', 'missing-commit'];
  for (const name of names)
    for (const message of await bothRefusals(t, join(recorded, name), refOf(name)))
      assert.match(message, /(?:commit|object) [0-9a-f]{64}/i, name);
  return 'the commit is named';
});

attack('an ostree repository whose ref is a commit that was deleted', {}, async (t) => {
  for (const message of await bothRefusals(t, join(recorded, 'tombstone'), refOf('tombstone')))
    assert.match(message, /^commit [0-9a-f]{64} was deleted: the ostree repository has a tombstone/);
  return 'it is said that it was deleted';
});

/** What the recorded pull asked for. */
function refOf(name: string): string {
  const session = sessions.find(({ title }) => title.startsWith(`${name}:`));
  return session!.steps[0]!.args![3]!;
}

function pathOf(archive: string, id: Checksum, kind: string): string {
  return join(archive, 'objects', id.slice(0, 2), `${id.slice(2)}.${kind}`);
}

/** An archive whose root folder has these bytes. */
function archiveOf(tree: Buffer, trees: readonly Buffer[] = []): { path: string; root: Checksum } {
  const path = mkdtempSync(join(scratch, 'archive-'));
  writeArchive(path, { other: { file: 'content' } });
  const put = (bytes: Buffer, kind: string): Checksum => {
    const id = sha256(bytes);
    mkdirSync(dirname(pathOf(path, id, kind)), { recursive: true });
    writeFileSync(pathOf(path, id, kind), bytes);
    return id;
  };
  for (const each of trees) put(each, 'dirtree');
  const meta = put(META, 'dirmeta');
  const root = put(tree, 'dirtree');
  const commit = encodeCommit({
    metadata: [],
    parent: undefined,
    subject: '',
    body: '',
    timestamp: 1n,
    tree: root,
    meta,
  });
  writeFileSync(join(path, 'refs/heads/bad'), `${put(commit, 'commit')}\n`);
  return { path, root };
}

const META = encodeDirMeta({ uid: 0, gid: 0, mode: 0o40755, xattrs: NO_XATTRS });
const FILE = '8d'.repeat(32);

attack('an ostree repository whose folders have hostile offsets', {}, async () => {
  const files = Array.from({ length: 12 }, (_, i) => ({ name: `name-${i + 10}`, id: FILE }));
  const right = encodeDirTree({ files, folders: [{ name: 'folder', tree: FILE, meta: sha256(META) }] });
  const random = new Random(7);
  let refused = 0;
  for (let i = 0; i < 150; i++) {
    const bytes = Buffer.from(right);
    // Offsets are at the end of each container.
    const at = random.upTo(1) === 0 ? bytes.length - 1 - random.upTo(30) : random.upTo(bytes.length - 1);
    bytes[at] = random.upTo(255);
    const { path, root } = archiveOf(bytes);
    const message = await localRefusal(path, 'bad');
    // Where it can be read all the same, its objects are missing.
    assert.match(message, /dirtree [0-9a-f]{64}: |^object [0-9a-f]{64}\.(?:filez|dirtree|dirmeta) is missing/);
    assert.match(message, PLACE);
    if (message.includes(root)) refused++;
    rmSync(path, { recursive: true });
  }
  assert.ok(refused > 10, `${refused}`);
  return 'the folder is named, or what it leads to is missing; nothing is read beyond its end';
});

attack('an ostree repository with a tree that grows without end', {}, async () => {
  const trees = [encodeDirTree({ files: [], folders: [] })];
  for (let i = 0; i < 60; i++) {
    const entry = { tree: sha256(trees[0]!), meta: sha256(META) };
    trees.unshift(encodeDirTree({ files: [], folders: ['a', 'b', 'c', 'd'].map((name) => ({ name, ...entry })) }));
  }
  const { path } = archiveOf(trees[0]!, trees);
  assert.match(
    await localRefusal(path, 'bad'),
    /^a commit of 63 objects with more than 1000000 files and folders, up to "\/d\/d\/d/,
  );
  return 'it is counted, not made';
});

attack('an ostree repository with a folder in a folder, a thousand times', {}, async () => {
  const trees = [encodeDirTree({ files: [], folders: [] })];
  for (let i = 0; i < 3000; i++)
    trees.unshift(encodeDirTree({ files: [], folders: [{ name: 'd', tree: sha256(trees[0]!), meta: sha256(META) }] }));
  const { path } = archiveOf(trees[0]!, trees);
  assert.match(await localRefusal(path, 'bad'), /nested deeper than \d+/);
  return 'an error; the stack does not grow with the depth';
});

attack('an ostree repository with a folder of 100,000 entries', {}, async () => {
  const few = mkdtempSync(join(scratch, 'archive-'));
  const [commit] = writeArchive(few, { few: { file: 'content' } }) as [Checksum];
  const { tree } = parseCommit(readFileSync(pathOf(few, commit, 'commit')));
  const { id } = parseDirTree(readFileSync(pathOf(few, tree, 'dirtree'))).files[0]!;
  const files = Array.from({ length: 100_000 }, (_, i) => ({ name: `entry-${String(i).padStart(6, '0')}`, id }));
  const many = encodeDirTree({ files, folders: [] });
  const { path } = archiveOf(many);
  cpSync(join(few, 'objects'), join(path, 'objects'), { recursive: true });
  {
    using repository = await emptyRepository();
    using from = OstreeFolder.open(path);
    const pulled = await pullLocalCommit(repository, from, 'bad');
    assert.deepEqual([pulled.metadata, pulled.files], [3, 1]);
  }
  // The last one is wrong.
  many.write('entry-099998', many.indexOf('entry-099999'));
  const wrong = archiveOf(many);
  assert.match(
    await localRefusal(wrong.path, 'bad'),
    new RegExp(`^dirtree ${wrong.root}: entry "entry-099998" of a dirtree is there twice \\(entry "/"\\)$`),
  );
  return 'it is an image like others; the one name that is there twice is found';
});

attack('an ostree repository with symlinks in the place of refs and objects', {}, async () => {
  const secret = join(scratch, 'secret');
  writeFileSync(secret, 'secret');
  for (const [what, change, message] of [
    [
      'a loop of refs',
      (path: string) => {
        rmSync(join(path, 'refs/heads/r'));
        symlinkSync('s', join(path, 'refs/heads/r'));
        symlinkSync('r', join(path, 'refs/heads/s'));
      },
      /refs\/heads\/r/,
    ],
    [
      'a ref to a file elsewhere',
      (path: string) => {
        rmSync(join(path, 'refs/heads/r'));
        symlinkSync(secret, join(path, 'refs/heads/r'));
      },
      /refs\/heads\/r/,
    ],
    [
      'an object that is a file elsewhere',
      (path: string, commit: Checksum) => {
        rmSync(pathOf(path, commit, 'commit'));
        symlinkSync(secret, pathOf(path, commit, 'commit'));
      },
      /[0-9a-f]{62}\.commit/,
    ],
    [
      'a folder of objects that is elsewhere',
      (path: string, commit: Checksum) => {
        const folder = dirname(pathOf(path, commit, 'commit'));
        renameSync(folder, join(path, 'elsewhere'));
        symlinkSync('../elsewhere', folder);
      },
      /[0-9a-f]{62}\.commit/,
    ],
  ] as const) {
    const path = mkdtempSync(join(scratch, 'links-'));
    const [commit] = writeArchive(path, { r: { file: 'content' } }) as [Checksum];
    change(path, commit);
    assert.match(await localRefusal(path, 'r'), message, what);
  }
  return 'refs may be symlinks to refs; objects that are, or are behind one, are errors';
});

attack('an archive with something else in the place of a file', {}, async () => {
  const secret = join(scratch, 'secret.filez');
  writeFileSync(secret, 'secret');
  for (const [what, put, message] of [
    [
      'a FIFO',
      (path: string) => execFileSync('mkfifo', [path]),
      /^file [0-9a-f]{64}: \S+\.filez is not a regular file/,
    ],
    ['a folder', (path: string) => mkdirSync(path), /^file [0-9a-f]{64}: \S+\.filez is not a regular file/],
    ['a symlink to one', (path: string) => symlinkSync(secret, path), /ELOOP.*[0-9a-f]{62}\.filez/],
    ['nothing', () => undefined, /^object [0-9a-f]{64}\.filez is missing in the ostree repository/],
    ['an empty file', (path: string) => writeFileSync(path, ''), /^file [0-9a-f]{64}: .*length of its header/],
  ] as const) {
    const path = mkdtempSync(join(scratch, 'odd-'));
    // The others are open, most of them, when it is met.
    const files = Array.from({ length: 200 }, (_, i) => [`file-${i}`, noise(100 * i, `${i}`)] as const);
    writeArchive(path, { r: Object.fromEntries(files) });
    const file = filesBelow(join(path, 'objects')).filter((one) => one.endsWith('.filez'))[100]!;
    rmSync(file);
    put(file);
    const said = await localRefusal(path, 'r');
    assert.match(said, message, what);
    if (!said.startsWith('ELOOP')) assert.match(said, PLACE, what);
  }
  return 'the object is named; nothing is waited for, and none of the others stays open';
});

attack(
  'owns a composefs repository that root pulls a commit from, and changes it',
  { skip: whyNoAttacker() },
  async (t) => {
    const { folder, repository } = scene(t);
    const large = 'content '.repeat(10_000);
    const [commit] = writeArchive(join(folder, 'archive'), { web: { file: large } }) as [Checksum];
    const own = join(folder, 'own');
    const run = (...words: string[]): string => {
      const { status, stdout, stderr } = cfsbridge(words);
      return status === 0 ? stdout : stderr;
    };
    for (const path of [repository, own]) run('init', '--insecure', path);
    run('--repo', repository, 'ostree', 'pull-local', join(folder, 'archive'), 'web');
    giveAway(repository);
    const fileOf = (path: string): string =>
      filesBelow(join(path, 'objects')).find((file) => statSync(file).size === large.length) ?? '';
    const theirs = fileOf(repository);
    const pull = (): string => run('--repo', own, 'ostree', 'pull-local', repository, 'web');
    assert.match(pull(), new RegExp(`^commit {2}${commit}$`, 'm'));
    assert.notEqual(statSync(fileOf(own)).ino, statSync(theirs).ino);
    writeFileSync(theirs, large.toUpperCase());
    assert.match(run('--repo', own, 'fsck'), /^status: ok$/m);
    run('--repo', own, 'ostree', 'untag', 'web');
    run('--repo', own, 'gc');
    assert.match(pull(), /Unexpected file checksum/);
    rmSync(theirs);
    symlinkSync(join(folder, 'secret/file0'), theirs);
    assert.match(pull(), /is a symlink or behind one/);
    for (const words of [['images'], ['inspect', commit]])
      assert.match(run('--repo', own, 'ostree', ...words), /No ostree commits found|not found in repository/);
    assert.match(run('--repo', own, 'fsck'), /^status: ok$/m);
    return 'no inode of theirs is shared; what was changed is an error, and nothing gets a name';
  },
);

attack('a static delta whose commit is forged, or that lies otherwise', {}, async (t) => {
  const source = recordedRepositories(t, 'bad-deltas');
  const cases = fixtureJson<{ items: Record<string, { path: string; what: string; right: { rc: number } }> }>(
    'ostree/bad-deltas/case.json',
  ).items;
  // Whoever asks has to compare: a file cannot tell what it was asked for.
  const elsewhere = new Set(['wrong-from', 'wrong-to', 'digest-in-index']);
  const wrong = Object.entries(cases).filter(([name, { right }]) => right.rc !== 0 && !elsewhere.has(name));
  for (const [name, { path }] of wrong) {
    using repository = await emptyRepository();
    using from = OstreeFolder.open(`${source}/archive`);
    const { commit } = await pullLocalCommit(repository, from, 'r/a');
    const names = [...repository.listStreams(), ...repository.listImages()];
    await assert.rejects(
      withoutLeak(async () => applyDeltaFile(repository, `${source}/d/${name}/${path}/superblock`)),
      (error: Error) => {
        assert.ok(error instanceof BridgeError, name);
        assert.match(error.message, /delta|[0-9a-f]{64}|GVariant|XZ|xz/i, name);
        return true;
      },
    );
    assert.deepEqual([...repository.listStreams(), ...repository.listImages()], names, `${name} ${commit}`);
  }
  return `nothing of it has a name (${wrong.length} forms)`;
});

attack('a static delta says that it was made on a machine of the other byte order, or of none', {}, async (t) => {
  const source = recordedRepositories(t, 'deltas');
  const { deltas } = fixtureJson<{ deltas: Record<string, { path?: string }> }>('ostree/deltas/case.json');
  const folder = `${source}/d/scratch-b/${deltas['scratch-b']!.path}`;
  const superblock = readFileSync(`${folder}/superblock`);
  const at = superblock.indexOf('ostree.endianness');
  const value = superblock.indexOf(Buffer.from('\0y', 'latin1'), at);
  assert.equal(superblock.toString('latin1', value - 1, value), 'l');
  for (const [order, taken] of [
    ['l', true],
    ['B', false],
    ['x', false],
  ] as const) {
    superblock.write(order, value - 1, 'latin1');
    writeFileSync(`${folder}/superblock`, superblock);
    using repository = await emptyRepository();
    const applied = applyDeltaFile(repository, `${folder}/superblock`);
    if (taken) assert.equal((await applied).files, 38);
    else await assert.rejects(applied, { code: 'OSTREE_DELTA' }, order);
    assert.equal(repository.listStreams().length, taken ? 1 : 0);
  }
  return 'sizes that are not those of the parts are refused, and so is a byte order that there is not';
});
