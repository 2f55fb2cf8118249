import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  lutimesSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { randomDump } from '../support/images/random-dump.js';

const peers = process.env['CFSBRIDGE_PEERS'] ?? '/var/tmp/peers';
const root = fileURLToPath(new URL('../../../', import.meta.url));

function whyNoPeer(): string | false {
  if (!existsSync(join(peers, 'sid/usr/bin/mkcomposefs')))
    return 'mkcomposefs is not there; scripts/peers.sh installs it';
  return process.getuid?.() === 0 ? false : 'running programs of the Debian sid tree needs root';
}

/**
 * Shell commands that C's programs and ours have to answer alike: output, exit status, first line of the complaint,
 * files.
 */
const COMMANDS = [
  'mkcomposefs',
  'mkcomposefs a',
  'mkcomposefs a b c',
  'mkcomposefs a --digest-store',
  'mkcomposefs --print a b',
  'mkcomposefs -x a b',
  'mkcomposefs --from-file=1 tree.dump image',
  'mkcomposefs --print-digest-only --from-file tree.dump image',
  'mkcomposefs --print-digest-only --from-file tree.dump',
  'mkcomposefs --print-digest --from-f tree.dump image',
  'mkcomposefs tree.dump --from-file image --print-digest',
  'mkcomposefs --from-file -- tree.dump -',
  'cat tree.dump | mkcomposefs --from-file - image',
  'mkcomposefs --from-file - image </dev/null',
  'mkcomposefs --from-file missing image',
  'mkcomposefs --from-file . image',
  'mkcomposefs --from-file tree.dump missing/image',
  'mkcomposefs --from-file tree.dump folder',
  'mkcomposefs "" image',
  'mkcomposefs missing image',
  'mkcomposefs tree.dump image',
  'mkcomposefs link image',
  ...['2', 'x', '', ' 1', '0x1', '-1', '4294967296', '99999999999999999999'].flatMap((number) => [
    `mkcomposefs --min-version="${number}" --from-file --print-digest-only tree.dump`,
    `mkcomposefs --max-version="${number}" --from-file --print-digest-only tree.dump`,
  ]),
  'mkcomposefs --min-version=1 --max-version=0 --from-file --print-digest-only tree.dump',
  'mkcomposefs --threads=0 folder image',
  'mkcomposefs --threads=x folder image',
  'mkcomposefs --threads=3 --print-digest folder image',
  'mkcomposefs --print-digest folder/ image',
  'mkcomposefs --use-epoch --print-digest-only folder',
  'mkcomposefs --skip-devices --print-digest-only folder',
  'mkcomposefs --skip-xattrs --print-digest-only folder',
  'mkcomposefs --user-xattrs --print-digest-only folder',
  'mkcomposefs --skip-xattrs --user-xattrs folder image',
  'mkcomposefs --digest-store=store --print-digest folder image',
  'mkcomposefs --digest-store=tree.dump --print-digest-only folder',
  'mkcomposefs --digest-store=store/deep/er --print-digest folder image',
  'mkcomposefs --digest-store=store folder image; composefs-info --basedir store missing-objects image',
  'mkcomposefs folder image; for c in ls dump objects missing-objects; do composefs-info $c image; done',
  'mkcomposefs folder image; composefs-info --filter sub --filter=a dump image; composefs-info ls --filter=sub ' +
    'image image',
  'mkcomposefs --from-file tree.dump image; composefs-info objects image; composefs-info measure-file image tree.dump',
  'composefs-info',
  'composefs-info ls',
  'composefs-info measure-file',
  'composefs-info nothing image',
  'composefs-info --nothing ls image >/dev/null',
  'composefs-info -h >/dev/null',
  'composefs-info ls --basedir >/dev/null',
  'composefs-info ls missing',
  'composefs-info ls tree.dump',
  'composefs-info --basedir=missing missing-objects tree.dump',
];

/** Lines behind a root that C refuses. */
const BAD_LINES = [
  '',
  '/a',
  '/a 0 100644',
  '/a x 100644 1 0 0 0 0.0 - - -',
  '/a 0 100648 1 0 0 0 0.0 - - -',
  '/a 0 170644 1 0 0 0 0.0 - - -',
  '/ 0 40755 2 0 0 0 0.0 - - -',
  '/a/b 0 100644 1 0 0 0 0.0 - - -',
  '/.. 0 100644 1 0 0 0 0.0 - - -',
  '/a/ 0 100644 1 0 0 0 0.0 - - -',
  '/a\\ 0 100644 1 0 0 0 0.0 - - -',
  '/a\\x 0 100644 1 0 0 0 0.0 - - -',
  '/a\\xzz 0 100644 1 0 0 0 0.0 - - -',
  '/a\\q 0 100644 1 0 0 0 0.0 - - -',
  '/a 1 100644 1 0 0 0 0.0 - xx -',
  '/a 0 120644 1 0 0 0 0.0 - - -',
  '/a 0 100644 1 0 0 0 00 - - -',
  '/a 0 100644 1 0 0 0 0.0 - - - a',
  '/a 0 @40755 1 0 0 0 0.0 /a - -',
  '/a 0 @100644 1 0 0 0 0.0 - - -',
  '/a 0 @100644 1 0 0 0 0.0 /b - -',
  '/a 0 @100644 1 0 0 0 0.0 /a - -',
  '/a 0 @x - - - - - /b - -',
  '/a - @120000 - - - - - /b',
  'a x 100x644 1 0 0 0 0.0 - - -',
  `/a 0 40755 1 0 0 0 0.0 ${'p'.repeat(4096)} - -`,
  '/a 0 200000 1 0 0 0 0.0 - - -',
  '/a -1 100644 1 0 0 0 0.0 - a -',
  '/a 0 100644 1 0 0 0 1,5 - - -',
  '/a 0 100644 1 x 0 0 0.0 - - -',
  '/a 0 100644 1 0 x 0 0.0 - - -',
  '/a 0 100644 1 0 0 0 x.0 - - -',
];

describe('mkcomposefs and composefs-info answer as those of composefs', { skip: whyNoPeer() }, () => {
  let folder: string;
  const at = (name: string): string => join(folder, name);
  before(() => {
    folder = mkdtempSync(join(peers, 'share/commands-'));
    mkdirSync(at('folder/sub/deep'), { recursive: true });
    writeFileSync(at('tree.dump'), randomDump(7));
    symlinkSync('folder', at('link'));
    for (const [name, size] of [
      ['a', 10],
      ['sub/outside', 65],
      ['sub/with space', 5000],
      ['sub/deep/large', 3_000_000],
      ['empty', 0],
    ] as const) {
      writeFileSync(at(`folder/${name}`), Buffer.alloc(size, name));
      utimesSync(at(`folder/${name}`), 1000, 1000);
    }
    chmodSync(at('folder/a'), 0o4711);
    symlinkSync('sub/outside', at('folder/link'));
    lutimesSync(at('folder/link'), 5, 5);
    spawnSync('sh', [
      '-c',
      `cd ${at('folder')}; mkfifo fifo; mknod char c 5 1; mknod whiteout c 0 0; mknod block b 8 1`,
    ]);
  });
  after(() => rmSync(folder, { recursive: true }));

  function answer(program: string, args: string[], cwd: string): object {
    rmSync(at('image'), { force: true });
    rmSync(at('store'), { recursive: true, force: true });
    const { status, stdout, stderr } = spawnSync(program, args, {
      cwd,
      env: { ...process.env, PATH: `${root}bin:${process.env['PATH']}` },
      maxBuffer: 1 << 26,
    });
    return {
      status,
      stdout: stdout.toString('latin1'),
      complaint: stderr.toString().split('\n', 1)[0],
      image: existsSync(at('image')) ? readFileSync(at('image'), 'latin1') : undefined,
      store: existsSync(at('store')) ? readdirSync(at('store'), { recursive: true }).sort() : undefined,
    };
  }

  const compare = (script: string): void => {
    const theirs = answer(
      join(root, 'scripts/in-peers.sh'),
      ['sh', '-c', `cd /share/${basename(folder)}; ${script}`],
      folder,
    );
    assert.deepEqual(answer('sh', ['-c', script], folder), theirs);
  };

  for (const command of COMMANDS) test(command, () => compare(command));
  for (const line of BAD_LINES) {
    test(`a dumpfile with ${JSON.stringify(line)}`, () => {
      writeFileSync(at('bad.dump'), `/ 0 40755 2 0 0 0 0.0 - - -\n${line}\n`);
      compare('mkcomposefs --from-file --print-digest-only bad.dump');
    });
  }
});
