// Images to boot from, made by both programs of the same layers and folders.
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { cfsbridge } from '../support/cli/run-cli.js';
import { END, header, padded } from '../support/layers/make-tar.js';
import { writeLayout } from '../support/images/oci-layout.js';
import { cfsctl, run, succeed, whyNoPeers, type Answer } from './peers.js';
import { assertSound, namesOf } from './repositories.js';

const skip = whyNoPeers();
const POLICIES = 30;

let folder: string;
before(() => (folder = mkdtempSync(join(tmpdir(), 'bootable-'))));
after(() => rmSync(folder, { recursive: true }));

/** Small numbers that look random and are the same every time. */
function numbers(seed: number): (below: number) => number {
  let state = seed * 2654435761 + 1;
  return (below) => {
    state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9) >>> 0;
    return (state >>> 7) % below;
  };
}

const FOLDERS = [
  'usr',
  'usr/bin',
  'usr/lib',
  'usr/lib64',
  'etc',
  'etc/cron.d',
  'var',
  'var/log',
  'home',
  'home/user.name',
];
const WORDS = ['a', 'bin', 'lib', 'x+y', 'sda1', 'log', 'name', '[b]', 'caf\xe9', '.hidden', 'a b'];
const PATTERNS = [
  '/usr(/.*)?',
  '/.*',
  '/usr/lib(64)?/.*',
  '/etc/[^/]*',
  '/var/log/?.*',
  '/(etc|var)/.*\\.d(/.*)?',
  '/home/[^/]+/.+',
  '/usr/bin/x\\+y',
  '/usr/[a-l].*/.*',
  '/.*/sd[a-z][0-9]',
  '/usr/lib/(?!lib).*',
  '/[[:alpha:]]+',
  '/var(/[^/]*){2}',
  '/usr/bin/.{1,3}',
  '/home|/etc',
  '/',
  '/usr/lib.?4?/caf.*',
  '.*/\\.[^/]*',
];

/** Files of a system with a policy; contents by path. */
function system(seed: number): { files: Map<string, string>; tar: Buffer } {
  const next = numbers(seed);
  const pick = <T>(list: readonly T[]): T => list[next(list.length)] as T;
  const files = new Map<string, string>();
  for (const name of FOLDERS)
    for (let i = next(4); i >= 0; i--) files.set(`${name}/${pick(WORDS)}${i}`, `${name} ${i} `.repeat(next(60)));
  const lines = Array.from(
    { length: 3 + next(12) },
    (_, index) =>
      `${pick(PATTERNS)}\t${pick(['', '', '-- ', '-d ', '-l ', '-p '])}${next(6) === 0 ? '<<none>>' : `u:r:t${index}:s0`}`,
  );
  files.set('etc/selinux/config', `# comment\nSELINUX=${pick(['enforcing', 'disabled'])}\nSELINUXTYPE=strict\n`);
  files.set('etc/selinux/strict/contexts/files/file_contexts', `${lines.join('\n')}\n`);
  if (next(2)) files.set('etc/selinux/strict/contexts/files/file_contexts.local', `${pick(PATTERNS)} u:r:local:s0\n`);
  if (next(2))
    files.set(
      'etc/selinux/strict/contexts/files/file_contexts.subs_dist',
      '/usr/lib64 /usr/lib\n/home/user.name /etc\n',
    );
  files.set('boot/loader/text', 'goes away');
  return { files, tar: tarOf(files, next) };
}

function tarOf(files: ReadonlyMap<string, string>, next: (below: number) => number): Buffer {
  const parts = ['sysroot/', 'boot/'].map((name) => header({ name, type: '5', mode: 0o755 }));
  const made = new Set(['boot']);
  const makeFolders = (path: string): void => {
    if (path === '.' || made.has(path)) return;
    makeFolders(dirname(path));
    made.add(path);
    parts.push(header({ name: `${path}/`, type: '5', mode: 0o755, mtime: 1e9 + next(1e6) }));
  };
  let last = '';
  for (const [name, content] of files) {
    makeFolders(dirname(name));
    parts.push(header({ name, size: content.length, mode: 0o644 }), padded(Buffer.from(content)));
    if (last !== '' && next(3) === 0) parts.push(header({ name: `${name}-link`, type: '1', link: last }));
    if (next(4) === 0) parts.push(header({ name: `${name}-symlink`, type: '2', link: 'target' }));
    if (next(9) === 0) parts.push(header({ name: `${name}-fifo`, type: '6' }));
    last = name;
  }
  return Buffer.concat([...parts, END]);
}

type Variant = readonly ['sha256' | 'sha512', 1 | 2];
const VARIANTS: readonly Variant[] = [
  ['sha512', 1],
  ['sha256', 1],
  ['sha512', 2],
  ['sha256', 2],
];

/** One image in a new repository of each program. */
class Pair {
  readonly path: string;
  readonly repositories: readonly [theirs: string, ours: string];

  constructor(
    name: string,
    [algorithm, version]: Variant,
    readonly layout: string,
  ) {
    this.path = mkdtempSync(join(folder, `${name}-`));
    this.repositories = [join(this.path, 'theirs'), join(this.path, 'ours')];
    for (const path of this.repositories)
      succeed(cfsctl, [
        'init',
        '--insecure',
        '--algorithm',
        `fsverity-${algorithm}-12`,
        '--erofs-version',
        String(version),
        path,
      ]);
  }

  ask(...args: string[]): [theirs: Answer, ours: Answer] {
    return [
      run(cfsctl, ['--repo', this.repositories[0], ...args]),
      run(cfsbridge, ['--repo', this.repositories[1], ...args]),
    ];
  }

  /** Both print the same and end alike. @returns what they print */
  same(status: number, ...args: string[]): string {
    const [theirs, ours] = this.ask(...args);
    assert.equal(theirs.status, status, `cfsctl ${args.join(' ')}: ${theirs.stderr}`);
    assert.equal(ours.status, status, `cfsbridge ${args.join(' ')}: ${ours.stderr}`);
    assert.equal(ours.stdout, theirs.stdout, args.join(' '));
    return ours.stdout;
  }

  /**
   * Of a pull: objects are counted in other words, and cfsctl tells of a manifest stream that it has replaced when it
   * makes a boot image.
   */
  samePull(status: number, ...args: string[]): string {
    const [theirs, ours] = this.ask('oci', 'pull', ...args, `oci:${this.layout}:image`, 'os');
    assert.deepEqual([theirs.status, ours.status], [status, status], `${theirs.stderr}\n${ours.stderr}`);
    const lines = ({ stdout }: Answer): string[] =>
      stdout.split('\n').filter((line) => !/^(objects|verity) /.test(line));
    assert.deepEqual(lines(ours), lines(theirs), args.join(' '));
    return ours.stdout;
  }

  sameNames(): void {
    assert.deepEqual(namesOf(this.repositories[1]), namesOf(this.repositories[0]));
    for (const path of this.repositories) assertSound(path);
  }
}

function layoutOf(name: string, tar: Buffer): string {
  const path = join(folder, name);
  writeLayout(path, [tar]);
  return path;
}

const bootImage = (stdout: string): string => /^Boot image: ([0-9a-f]+)/m.exec(stdout)?.[1] ?? '';

describe('images to boot from, beside cfsctl', { skip }, () => {
  test(`${POLICIES} random policies give the same labels`, () => {
    for (let seed = 1; seed <= POLICIES; seed++) {
      const { files, tar } = system(seed);
      const path = join(folder, `tree-${seed}`);
      mkdirSync(path);
      succeed('tar', ['-x', '-C', path, '-f', writeTar(seed, tar)]);
      const common = ['--no-repo', '--hash', seed % 2 ? 'sha256' : 'sha512', '--erofs-version', String(1 + (seed % 2))];
      for (const command of [
        ['create-dumpfile', '--bootable'],
        ['compute-id', '--bootable', '--xattrs', 'keep-user-xattrs'],
        ['compute-karg'],
        ['compute-karg', '--no-propagate-usr-to-root'],
      ]) {
        const [theirs, ours] = [cfsctl, cfsbridge].map((program) => run(program, [...common, ...command, path])) as [
          Answer,
          Answer,
        ];
        assert.equal(
          ours.stdout,
          theirs.stdout,
          `seed ${seed}, ${command.join(' ')}; ` +
            `policy:\n${[...files].filter(([name]) => name.includes('file_contexts')).join('\n')}\n${ours.stderr}`,
        );
        assert.equal(theirs.status, 0, theirs.stderr);
      }
      rmSync(path, { recursive: true });
    }
  });

  for (const [index, variant] of VARIANTS.entries())
    test(`a pull with --bootable, ${variant.join(', version ')}: same names, references and answers`, () => {
      const pair = new Pair('pull', variant, layoutOf(`layout-${index}`, system(100 + index).tar));
      const id = bootImage(pair.samePull(0, '--bootable'));
      pair.sameNames();
      pair.same(0, 'oci', 'inspect', 'os');
      assert.match(pair.same(0, 'oci', 'linked-erofs-images', id), new RegExp(`"id": "${id}",\n\\s+"bootable": true`));
      for (const mode of ['allowlist-only', 'keep-user-xattrs']) {
        pair.same(0, 'oci', 'compute-id', '--bootable', '--xattrs', mode, 'os');
        pair.same(0, 'oci', 'dump', '--bootable', '--xattrs', mode, 'os');
      }
      // cfsctl has streams to remove that it wrote before it knew of the boot image.
      for (const { status, stderr } of pair.ask('gc')) assert.equal(status, 0, stderr);
      pair.samePull(0, '--bootable');
      pair.sameNames();
    });

  test('an expected boot image of another format is made, and one that cannot be is not', () => {
    const pair = new Pair('expected', ['sha256', 1], layoutOf('layout-expected', system(200).tar));
    pair.samePull(0);
    const expected = pair.same(0, '--erofs-version', '2', 'oci', 'compute-id', '--bootable', 'os').trim();
    assert.equal(bootImage(pair.samePull(0, '--bootable', '--expected-digest', expected)), expected);
    // With it goes the name that keeps a replaced stream for those who still refer to it.
    for (const { status, stderr } of pair.ask('gc')) assert.equal(status, 0, stderr);
    pair.sameNames();
    pair.same(0, 'oci', 'linked-erofs-images', expected);
    pair.samePull(1, '--bootable', '--expected-digest', 'ff'.repeat(32));
    pair.samePull(1, '--bootable', '--expected-digest', 'ff');
    pair.samePull(2, '--expected-digest', expected);
    pair.same(1, 'oci', 'linked-erofs-images', 'ff'.repeat(32));
    pair.same(1, 'oci', 'linked-erofs-images', 'x');
    pair.same(1, 'oci', 'mount', '--bootable', 'os', join(folder, 'nowhere'));
  });

  const sysroot = header({ name: 'sysroot/', type: '5', mode: 0o755 });
  const usr = header({ name: 'usr/', type: '5', mode: 0o755 });
  for (const [why, tar] of [
    ['without /boot', () => Buffer.concat([usr, sysroot, END])],
    [
      'with a policy that has no file_contexts',
      () =>
        tarOf(
          new Map([
            ['usr/x', 'x'],
            ['etc/selinux/config', 'SELINUXTYPE=a\n'],
            ['etc/selinux/a/contexts/files/x', ''],
          ]),
          () => 1,
        ),
    ],
    [
      'with a line that cannot be read',
      () =>
        tarOf(
          new Map([
            ['usr/x', 'x'],
            ['etc/selinux/config', 'SELINUXTYPE=a\n'],
            ['etc/selinux/a/contexts/files/file_contexts', '/usr\n'],
          ]),
          () => 1,
        ),
    ],
    [
      'with a policy that is not there',
      () =>
        tarOf(
          new Map([
            ['usr/x', 'x'],
            ['etc/selinux/config', 'SELINUXTYPE=a\n'],
          ]),
          () => 1,
        ),
    ],
  ] as const)
    test(`an image ${why} is refused by both`, () => {
      const pair = new Pair('refused', ['sha256', 1], layoutOf(`layout ${why.replaceAll(/\W/g, '-')}`, tar()));
      const [theirs, ours] = pair.ask('oci', 'pull', '--bootable', `oci:${pair.layout}:image`, 'os');
      assert.deepEqual([theirs.status, ours.status], [1, 1], `${theirs.stderr}\n${ours.stderr}`);
      assert.equal(run(cfsbridge, ['--repo', pair.repositories[1], 'oci', 'inspect', 'os']).status, 1, 'it has no tag');
    });
});

function writeTar(seed: number, tar: Buffer): string {
  const path = join(folder, `${seed}.tar`);
  writeFileSync(path, tar);
  return path;
}
