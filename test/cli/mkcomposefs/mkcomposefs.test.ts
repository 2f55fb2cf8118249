import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fixture, fixtureJson } from '../../support/fixtures.js';
import { referenceVerity } from '../../support/reference-verity.js';
import { cfsbridge } from '../../support/cli/run-cli.js';

const bin = (name: string): string => join(cfsbridge, '..', name);
const run = (
  name: string,
  args: string[],
  input: Buffer | string = '',
): { status: number | null; stdout: Buffer; stderr: Buffer } =>
  spawnSync(bin(name), args, { input, maxBuffer: 1 << 26 });

let folder: string;
before(() => void (folder = mkdtempSync(join(tmpdir(), 'mkcomposefs-'))));
after(() => rmSync(folder, { recursive: true }));

const recorded = fixtureJson<Record<string, { c: { default: { sha256: string } } }>>('erofs/digests.json');

describe('mkcomposefs --from-file', () => {
  for (const name of ['valid/xattr-kinds.dump', 'valid/mixed-whiteout.dump', 'valid/hardlinks.dump']) {
    test(`${name}: standard input to standard output`, () => {
      const { status, stdout, stderr } = run('mkcomposefs', ['--from-file', '-', '-'], fixture(`erofs/${name}`));
      assert.equal(stderr.toString(), '');
      assert.equal(status, 0);
      assert.equal(createHash('sha256').update(stdout).digest('hex'), recorded[name]!.c.default.sha256);
    });
  }

  test('digests of SHA-512, which the image and its own digest have, too', () => {
    const id = 'ab'.repeat(64);
    const dump = `/ 0 40755 2 0 0 0 0.0 - - -\n/a 70 100644 1 0 0 0 0.0 ab/${id.slice(2)} - ${id}\n`;
    const image = join(folder, 'sha512.img');
    const { status, stdout } = run('mkcomposefs', ['--print-digest', '--from-file', '-', image], dump);
    assert.equal(status, 0);
    assert.equal(stdout.toString(), `${referenceVerity(readFileSync(image), 'sha512')}\n`);
    assert.equal(run('composefs-info', ['objects', image]).stdout.toString(), `ab/${id.slice(2)}\n`);
  });

  test('a failure leaves the image that is there', () => {
    const image = join(folder, 'kept.img');
    writeFileSync(image, 'old');
    const { status, stderr } = run(
      'mkcomposefs',
      ['--from-file', '-', image],
      '/ 0 40755 2 0 0 0 0.0 - - -\n/a x 100644 1 0 0 0 0.0 - - -\n',
    );
    assert.equal(status, 1);
    assert.match(stderr.toString(), /^mkcomposefs: Invalid integer x\nmkcomposefs: in line 2/);
    assert.equal(readFileSync(image, 'utf8'), 'old');
  });
});

describe('input and output that do not work as files do', () => {
  const dump = fixture('erofs/valid/hardlinks.dump');
  const shell = (script: string, input?: Buffer): { status: number | null; stdout: string; stderr: string } =>
    spawnSync('bash', ['-c', script], {
      input,
      encoding: 'utf8',
      env: { ...process.env, PATH: `${bin('')}:${process.env['PATH']}` },
    });

  test('a dumpfile comes slowly through a pipe that does not block', () => {
    // perl shares the descriptor with mkcomposefs, and what it sets there.
    const unblocked =
      `perl -e 'use Fcntl; fcntl(STDIN, F_SETFL, O_NONBLOCK | O_RDONLY)'; mkcomposefs --from-file ` +
      '--print-digest-only -';
    const { status, stdout, stderr } = shell(`{ sleep 0.3; cat; } | { ${unblocked}; }`, dump);
    assert.deepEqual([status, stderr], [0, '']);
    assert.equal(stdout, run('mkcomposefs', ['--from-file', '--print-digest-only', '-'], dump).stdout.toString());
  });

  test('the image to look into comes through a pipe', () => {
    assert.match(shell('mkcomposefs --from-file - - | composefs-info ls /dev/stdin', dump).stdout, /^\/\S+/);
  });

  const complaints: [script: string, complaint: string][] = [
    ["mkcomposefs --from-file - $'image\\xff'", 'mkcomposefs: invalid UTF-8 was detected in one or more arguments\n'],
    ["composefs-info ls $'image\\xff'", 'composefs-info: invalid UTF-8 was detected in one or more arguments\n'],
    [
      'mkcomposefs --from-file --print-digest-only - <.',
      'mkcomposefs: Error reading from file\nmkcomposefs: Is a directory\n',
    ],
    [
      'mkcomposefs --from-file --print-digest-only - >/dev/full',
      'mkcomposefs: cannot write to standard output: No space left on device\n',
    ],
    ['mkcomposefs --from-file - - >/dev/full', 'mkcomposefs: cannot write file: No space left on device\n'],
    [
      'composefs-info measure-file /dev/null >/dev/full',
      'composefs-info: cannot write to standard output: No space left on device\n',
    ],
    [
      'f=$(mktemp); mkcomposefs --from-file - $f; composefs-info dump $f >/dev/full',
      'composefs-info: cannot write to standard output: No space left on device\n',
    ],
    [
      'f=$(mktemp); truncate -s 3G $f; composefs-info ls $f 2>&1 | sed s:$f:FILE: >&2; rm $f; exit 1',
      "composefs-info: Failed to load 'FILE': Invalid argument\ncomposefs-info: more than 1073741824 bytes\n",
    ],
  ];
  for (const [script, complaint] of complaints)
    test(script, () => {
      const { status, stderr } = shell(script, dump);
      assert.deepEqual([stderr, status], [complaint, 1]);
    });
});

describe('wrong usage', () => {
  const cases: [args: string[], message: RegExp][] = [
    [[], /^No source path specified\nUsage: mkcomposefs \[OPTIONS\] SOURCE IMAGE\n/],
    [['a'], /^No destination path specified\n/],
    [['a', 'b', 'c'], /^Too many arguments\n/],
    [['--print-digest-only', 'a', 'b'], /^Cannot specify destination path with --print-digest-only\n/],
    [['--print', 'a', 'b'], /^Usage/],
    [['-x'], /^Usage/],
    [['--from-file=yes', 'a', 'b'], /^Usage/],
    [['a', '--digest-store'], /^option needs a value\n$/],
    [['--min-version=1x', 'a', 'b'], /^Invalid min version 1x\n$/],
    [['--threads=0', 'a', 'b'], /^Invalid threads count 0\n$/],
    [
      ['--from-file', '/nonexistent', '/nonexistent/image'],
      /^mkcomposefs: failed to open output file: No such file or directory\n$/,
    ],
    [
      ['--from-file', '--print-digest-only', '/nonexistent'],
      /^mkcomposefs: open `\/nonexistent`: No such file or directory\n$/,
    ],
    [
      ['--print-digest-only', '/nonexistent'],
      /^mkcomposefs: error accessing \/nonexistent: No such file or directory\n$/,
    ],
    [['--print-digest-only', '/etc/passwd'], /^mkcomposefs: cannot write file: Not a directory\n$/],
  ];
  for (const [args, message] of cases) {
    test(`mkcomposefs ${args.join(' ')}`, () => {
      const { status, stdout, stderr } = run('mkcomposefs', args);
      assert.match(stderr.toString(), message);
      assert.deepEqual([status, stdout.length], [1, 0]);
    });
  }
});

describe('mkcomposefs of a folder', () => {
  const at = (name: string): string => join(folder, 'tree', name);
  const big = Buffer.alloc(2_500_000, 'content');
  before(() => {
    mkdirSync(at('sub'), { recursive: true });
    writeFileSync(at('sub/inline'), 'x'.repeat(64));
    writeFileSync(at('sub/outside'), 'y'.repeat(65));
    writeFileSync(at('empty'), '');
    writeFileSync(at('big'), big);
    linkSync(at('big'), at('second-name'));
    symlinkSync('sub/inline', at('link'));
    chmodSync(at('big'), 0o4751);
    lutimesSync(at('link'), 7, 7);
    for (const name of ['sub/inline', 'sub/outside', 'empty', 'big', 'sub', '']) utimesSync(at(name), 100, 100);
  });

  const line = (path: string, size: number, mode: string, data: string, mtime = 100): string => {
    const [uid, gid] = [process.getuid!(), process.getgid!()];
    return `${path} ${size} ${mode} 1 ${uid} ${gid} 0 ${mtime}.0 ${data}\n`;
  };
  const outside = (content: Buffer): string => {
    const id = referenceVerity(content, 'sha256');
    return `${id.slice(0, 2)}/${id.slice(2)} - ${id}`;
  };
  const expected = (): string =>
    [
      line('/', 0, (0o40000 | (statSync(at('')).mode & 0o7777)).toString(8), '- - -'),
      line('/big', big.length, '104751', outside(big)),
      line('/empty', 0, '100644', '- - -'),
      line('/link', 10, '120777', 'sub/inline - -', 7),
      line('/second-name', big.length, '104751', outside(big)),
      line('/sub', 0, (0o40000 | (statSync(at('sub')).mode & 0o7777)).toString(8), '- - -'),
      line('/sub/inline', 64, '100644', `- ${'x'.repeat(64)} -`),
      line('/sub/outside', 65, '100644', outside(Buffer.alloc(65, 'y'))),
    ].join('');

  test('is the image of the dumpfile that says the same', () => {
    const fromFolder = run('mkcomposefs', ['--skip-xattrs', at(''), '-']);
    assert.equal(fromFolder.stderr.toString(), '');
    assert.ok(fromFolder.stdout.equals(run('mkcomposefs', ['--from-file', '-', '-'], expected()).stdout));
  });

  test('content goes to the digest store once, and composefs-info misses what is not there', () => {
    const [store, image] = [join(folder, 'store'), join(folder, 'tree.img')];
    assert.equal(run('mkcomposefs', [`--digest-store=${store}`, at(''), image]).status, 0);
    const objects = run('composefs-info', ['objects', image]).stdout.toString().trim().split('\n');
    assert.equal(objects.length, 2);
    const bigObject = outside(big).split(' ')[0]!;
    assert.ok(objects.includes(bigObject));
    assert.ok(readFileSync(join(store, bigObject)).equals(big));
    assert.equal(run('composefs-info', [`--basedir=${store}`, 'missing-objects', image]).stdout.toString(), '');
    rmSync(join(store, bigObject));
    assert.equal(
      run('composefs-info', [`--basedir=${store}`, 'missing-objects', image]).stdout.toString(),
      `${bigObject}\n`,
    );
  });

  test('--use-epoch', () => {
    const lines = expected().replaceAll(/ (?:100|7)\.0 /g, ' 0.0 ');
    const image = run('mkcomposefs', ['--skip-xattrs', '--use-epoch', at(''), '-']).stdout;
    assert.ok(image.equals(run('mkcomposefs', ['--from-file', '-', '-'], lines).stdout));
  });

  test('one thread or many, the image is the same', () => {
    const [one, many] = ['1', '16'].map((threads) => run('mkcomposefs', [`--threads=${threads}`, at(''), '-']).stdout);
    assert.ok(one!.length > 0 && one!.equals(many!));
  });
});

test('a link to cfsbridge with the name of another command is that command', () => {
  symlinkSync(cfsbridge, join(folder, 'mkcomposefs'));
  const { status, stderr } = spawnSync(process.execPath, [join(folder, 'mkcomposefs')]);
  assert.equal(status, 1);
  assert.match(stderr.toString(), /^No source path specified/);
});
