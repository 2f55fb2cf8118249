// Files of a store become objects: whoever owns or may write their inode must not be somebody else.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
  type Stats,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { verityDigest } from '../../src/fsverity/digest.js';
import { objectPath } from '../../src/fsverity/object-id.js';
import { baseLayerFolder, makeStore, type MadeLayer } from '../support/images/made-store.js';
import { asAttacker, attack, ATTACKER, whyNoAttacker } from './attack.js';
import { AttackedServer } from './server.js';
import { cfsbridge, giveAway } from './stranger-repository.js';

/** No reflinks there, so files are hardlinked. */
const WHERE = '/dev/shm';
const skip =
  whyNoAttacker() || (existsSync(WHERE) ? false : `needs ${WHERE}: a filesystem with hard links and without reflinks`);

const NAMES = ['good', 'other-users', 'writable', 'group-writable', 'setuid', 'setgid', 'sticky', 'capable'] as const;
type Name = (typeof NAMES)[number];
/** Small ones and those that are never in memory whole take different ways. */
const SIZES = { small: 10_000, large: 2_000_000 };
type Size = keyof typeof SIZES;
const SHIFT = { small: 0, large: 100 };

const content = (name: Name, size: Size): Buffer => Buffer.alloc(SIZES[size], `${name} ${SHIFT[size]} `);
const layer: MadeLayer = {
  entries: (Object.keys(SIZES) as Size[]).flatMap((size) =>
    NAMES.map((name) => ({ name: `${size}-${name}`, mode: 0o755, content: content(name, size) })),
  ),
};

interface Scene {
  graphroot: string;
  repository: string;
  /** of the layer's files */
  files: string;
}

/** Root's store, in which the inodes of some files are such that somebody else could use them. */
function scene(t: TestContext): Scene {
  const folder = mkdtempSync(join(WHERE, 'hostile-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  chmodSync(folder, 0o755);
  const [graphroot, repository] = [join(folder, 'store'), join(folder, 'repository')];
  makeStore(graphroot, [{ name: 'localhost/it:1', layers: [layer] }]);
  const files = baseLayerFolder(graphroot, layer);
  for (const size of Object.keys(SIZES) as Size[]) {
    const path = (name: Name): string => join(files, `${size}-${name}`);
    for (const name of NAMES) chmodSync(path(name), 0o755);
    chownSync(path('other-users'), ATTACKER, ATTACKER);
    for (const [name, mode] of [
      ['writable', 0o666],
      ['group-writable', 0o664],
      ['setuid', 0o4755],
      ['setgid', 0o2755],
      ['sticky', 0o1755],
    ] as const)
      chmodSync(path(name), mode);
    const { status, stderr } = spawnSync('setcap', ['cap_net_raw+ep', path('capable')], { encoding: 'utf8' });
    assert.equal(status, 0, stderr);
  }
  assert.equal(cfsbridge(['init', '--insecure', repository]).status, 0);
  chmodSync(repository, 0o755);
  return { graphroot, repository, files };
}

const idOf = (name: Name, size: Size): string => verityDigest(content(name, size), 'sha512').toString('hex');
const object = (repository: string, name: Name, size: Size): string =>
  join(repository, 'objects', objectPath(idOf(name, size)));

function pull({ graphroot, repository }: Scene, ...options: string[]): string {
  const { status, stdout, stderr } = cfsbridge(
    [
      '--repo',
      repository,
      'oci',
      'pull',
      options.includes('--socket') ? 'localhost/it:1' : 'containers-storage:localhost/it:1',
      'it',
      ...options,
    ],
    { CONTAINERS_STORAGE_ROOT: graphroot },
  );
  assert.equal(status, 0, stderr);
  return stdout;
}

function isSafe({ uid, mode }: Stats): boolean {
  return uid === 0 && (mode & 0o7022) === 0;
}

function hasCapability(path: string): boolean {
  return spawnSync('getcap', [path], { encoding: 'utf8' }).stdout.includes('cap_net_raw');
}

function checkObjects({ repository, files }: Scene): void {
  for (const size of Object.keys(SIZES) as Size[]) {
    for (const name of NAMES) {
      const stat = lstatSync(object(repository, name, size));
      assert.ok(isSafe(stat), `${size}-${name} has owner ${stat.uid} and mode ${stat.mode.toString(8)}`);
      assert.ok(!hasCapability(object(repository, name, size)), `${size}-${name} has capabilities`);
      assert.equal(stat.ino === lstatSync(join(files, `${size}-${name}`)).ino, name === 'good', `${size}-${name}`);
    }
  }
}

/** The attacker writes to whatever he can. */
function edit({ files }: Scene): void {
  const [run = '', ...options] = asAttacker;
  spawnSync(run, [...options, 'sh', '-c', 'for file in "$0"/*; do echo evil >"$file"; done', files], {
    stdio: 'ignore',
  });
}

function checkContent({ repository }: Scene): void {
  for (const size of Object.keys(SIZES) as Size[]) {
    for (const name of NAMES)
      assert.ok(
        readFileSync(object(repository, name, size)).equals(content(name, size)),
        `${size}-${name} was changed`,
      );
  }
}

const REFUSED = (NAMES.length - 1) * Object.keys(SIZES).length;

for (const option of ['--zero-copy', '--local-fetch=auto']) {
  attack(
    `owns, or may write, files of a folder that root pulls with ${option}, and edits them afterwards`,
    { skip },
    (t) => {
      const where = scene(t);
      const out = pull(where, option);
      assert.match(out, new RegExp(`^objects {2}${Object.keys(SIZES).length} hardlinked \\+ ${REFUSED} copied `, 'm'));
      assert.match(out, new RegExp(`^ +${REFUSED} copied: owner or mode$`, 'm'));
      checkObjects(where);
      edit(where);
      assert.ok(
        readFileSync(join(where.files, 'small-other-users'), 'utf8').startsWith('evil'),
        'the attacker could not even edit his own file',
      );
      checkContent(where);
      assert.match(cfsbridge(['--repo', where.repository, 'fsck']).stdout, /^status: ok$/m);
      return `${REFUSED} of ${REFUSED + 2} files are copied; the objects stay as they were, none is setuid`;
    },
  );
}

attack("owns files of a store that root's server hands to root", { skip }, async (t) => {
  const where = scene(t);
  await using server = await AttackedServer.start(join(where.repository, '..'), ['serve', '--root', where.graphroot]);
  pull(where, '--socket', server.socket, '--zero-copy');
  checkObjects(where);
  edit(where);
  checkContent(where);
  return 'copied, and stays as it was';
});

for (const option of ['--zero-copy', '--local-fetch=auto']) {
  attack(`owns the whole store that root pulls from with ${option}`, { skip }, (t) => {
    const where = scene(t);
    giveAway(where.graphroot);
    const all = NAMES.length * Object.keys(SIZES).length;
    assert.match(pull(where, option), new RegExp(`^ +${all} copied: owner or mode$`, 'm'));
    for (const size of Object.keys(SIZES) as Size[])
      for (const name of NAMES) assert.ok(isSafe(lstatSync(object(where.repository, name, size))));
    edit(where);
    checkContent(where);
    assert.deepEqual(
      readdirSync(where.repository).filter((name) => name.startsWith('.staging')),
      [],
    );
    return 'copied, and stays as it was';
  });
}

attack('owns a file that root shall share from a store on another filesystem', { skip }, (t) => {
  const where = scene(t);
  const elsewhere = mkdtempSync(join(tmpdir(), 'hostile-'));
  t.after(() => rmSync(elsewhere, { recursive: true, force: true }));
  const repository = join(elsewhere, 'repository');
  assert.equal(cfsbridge(['init', '--insecure', repository]).status, 0);
  const { status, stderr } = cfsbridge(
    ['--repo', repository, 'oci', 'pull', '--zero-copy', 'containers-storage:localhost/it:1'],
    { CONTAINERS_STORAGE_ROOT: where.graphroot },
  );
  assert.equal(status, 1);
  assert.match(stderr, /can be neither reflinked nor hardlinked/);
  return 'refused: these filesystems cannot share';
});

/** What other programs leave: objects that are hard links into a store. */
function spoil(where: Scene): Name[] {
  for (const size of Object.keys(SIZES) as Size[]) {
    for (const name of NAMES) {
      const path = object(where.repository, name, size);
      rmSync(path);
      spawnSync('ln', [join(where.files, `${size}-${name}`), path]);
    }
  }
  return NAMES.filter((name) => name !== 'good');
}

const WHY: Record<Exclude<Name, 'good'>, string> = {
  'other-users': `belongs to user ${ATTACKER}`,
  writable: 'has mode 0666',
  'group-writable': 'has mode 0664',
  setuid: 'has mode 4755',
  setgid: 'has mode 2755',
  sticky: 'has mode 1755',
  capable: 'has capabilities',
};

function checkNamed(where: Scene): void {
  const { status, stdout } = cfsbridge(['--repo', where.repository, 'fsck']);
  assert.equal(status, 1);
  for (const size of Object.keys(SIZES) as Size[]) {
    for (const [name, why] of Object.entries(WHY)) {
      assert.ok(
        stdout.includes(`fsck: object-unsafe: objects/${objectPath(idOf(name as Name, size))}: ${why}\n`),
        `${size}-${name}: ${stdout}`,
      );
    }
  }
  assert.match(stdout, new RegExp(`status: ${REFUSED} error`));
}

attack('owns, or may write, objects that another program linked into root’s repository', { skip }, (t) => {
  const where = scene(t);
  pull(where);
  spoil(where);
  checkNamed(where);
  pull(where);
  checkObjects(where);
  edit(where);
  checkContent(where);
  assert.match(cfsbridge(['--repo', where.repository, 'fsck']).stdout, /^status: ok$/m);
  return 'fsck names them, the next pull replaces them by copies';
});

attack('the same, and root repairs the repository', { skip }, (t) => {
  const where = scene(t);
  pull(where);
  spoil(where);
  const { status, stdout, stderr } = cfsbridge(['--repo', where.repository, 'fsck', '--repair']);
  assert.equal(status, 0, stdout + stderr);
  checkObjects(where);
  edit(where);
  checkContent(where);
  return 'all are replaced by copies of themselves';
});

attack('opens an object in place while its content is damaged already', { skip }, (t) => {
  const where = scene(t);
  pull(where);
  const path = object(where.repository, 'setuid', 'small');
  writeFileSync(path, 'evil');
  chmodSync(path, 0o4755);
  const { stdout } = cfsbridge(['--repo', where.repository, 'fsck']);
  assert.match(stdout, /object-digest-mismatch: .*\n.*object-unsafe: .*has mode 4755/);
  assert.match(stdout, /^objects: (\d+)\/(?!\1)\d+ ok$/m);
  pull(where);
  checkObjects(where);
  checkContent(where);
  return 'fsck names both, the next pull replaces it';
});

attack('has root make a folder of marks with a umask that lets a group in', { skip }, (t) => {
  const where = scene(t);
  const folder = join(where.repository, '../umask');
  mkdirSync(folder);
  const command =
    'umask 0; "$0" init --insecure "$1" && "$0" --repo "$1" oci pull containers-storage:localhost/it:1 it';
  const program = new URL('../../../bin/cfsbridge', import.meta.url).pathname;
  const repository = join(folder, 'repository');
  const { status, stderr } = spawnSync('sh', ['-c', command, program, repository], {
    encoding: 'utf8',
    env: { ...process.env, CONTAINERS_STORAGE_ROOT: where.graphroot },
  });
  assert.equal(status, 0, stderr);
  for (const name of readdirSync(repository, { recursive: true }) as string[]) {
    const stat = lstatSync(join(repository, name));
    if (!stat.isSymbolicLink()) assert.equal(stat.mode & 0o022, 0, `${name} has mode ${stat.mode.toString(8)}`);
  }
  return 'nothing in the repository is writable by others';
});
