import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { objectPath } from '../../../src/fsverity/object-id.js';
import { referenceVerity } from '../../support/reference-verity.js';
import { cfsbridge, runCli } from '../../support/cli/run-cli.js';

describe('images of folders', () => {
  const content = Buffer.alloc(100, 'content');
  const object = referenceVerity(content, 'sha256');
  let folder: string;
  const at = (name: string): string => join(folder, name);
  const inRepo = (...args: string[]): string => {
    const { status, stdout, stderr } = runCli(['--repo', at('repo'), ...args]);
    assert.deepEqual([stderr, status], ['', 0]);
    return stdout;
  };

  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'image-commands-'));
    mkdirSync(at('rootfs/usr/bin'), { recursive: true });
    mkdirSync(at('rootfs/run/leftover'), { recursive: true });
    writeFileSync(at('rootfs/usr/bin/a'), content);
    linkSync(at('rootfs/usr/bin/a'), at('rootfs/usr/bin/b'));
    writeFileSync(at('rootfs/usr/small'), 'small\n');
    symlinkSync('bin/a', at('rootfs/usr/link'));
    utimesSync(at('rootfs/usr'), 50, 50);
    runCli(['--repo', at('repo'), '--hash', 'sha256', 'init', '--insecure']);
  });
  after(() => rmSync(folder, { recursive: true }));

  test('create-image stores what compute-id computes, the content, and a name for it', () => {
    const id = inRepo('create-image', at('rootfs'), 'deep/name').trim();
    assert.equal(id, `sha256:${inRepo('compute-id', at('rootfs')).trim()}`);
    assert.equal(id, `sha256:${runCli(['--no-repo', '--hash', 'sha256', 'compute-id', at('rootfs')]).stdout.trim()}`);
    assert.ok(readFileSync(at(`repo/objects/${objectPath(object)}`)).equals(content));
    assert.match(inRepo('images', '--no-trunc'), new RegExp(`deep/name .* ${id.slice(7)}`));
    assert.equal(inRepo('image-objects', 'deep/name'), `sha256:${object}\n`);
  });

  test('the root is like usr and run is empty, unless the folder is taken as it is', () => {
    const lines = (...options: string[]): string[] => inRepo('create-dumpfile', ...options, at('rootfs')).split('\n');
    assert.match(lines()[0]!, / 50\.0 - - -$/);
    assert.ok(!lines().some((line) => line.startsWith('/run/')));
    const asItIs = lines('--no-propagate-usr-to-root');
    assert.doesNotMatch(asItIs[0]!, / 50\.0 /);
    assert.ok(asItIs.some((line) => line.startsWith('/run/leftover ')));
  });

  test('dump-files prints a hardlink asked for by name in full, and where contents are', () => {
    inRepo('create-image', at('rootfs'), 'name');
    const data = `${objectPath(object)} - ${object}`;
    const [a, b, ...rest] = inRepo('dump-files', 'name', '/usr/bin/b', 'usr/bin').split('\n');
    assert.ok(a!.startsWith('/usr/bin/b 100 100644 2 ') && a!.endsWith(data));
    assert.match(b!, /^usr\/bin 0 40755 2 /);
    assert.ok(rest[0]!.startsWith('usr/bin/a 100 100644 2 ') && rest[0]!.endsWith(data));
    assert.equal(rest[1], 'usr/bin/b 0 @120000 - - - - 0.0 usr/bin/a - -');
    const paths = inRepo('dump-files', '--backing-path-only', 'name', '/usr/bin/a', '/usr/small', '/usr/link');
    assert.equal(paths, `/usr/bin/a ${objectPath(object)}\n/usr/small inline\n/usr/link inline\n`);
  });

  test('import-image takes any bytes', () => {
    const image = Buffer.from('no image');
    const { status, stdout } = runCli(['--repo', at('repo'), 'import-image', 'odd'], { input: image });
    assert.deepEqual([status, stdout], [0, `sha256:${referenceVerity(image, 'sha256')}\n`]);
    assert.equal(runCli(['--repo', at('repo'), 'image-objects', 'odd']).status, 1);
  });

  const failures: [what: string, args: () => string[], message: RegExp][] = [
    ['a repository is needed', () => ['--no-repo', 'create-image', at('rootfs')], /--no-repo is only for/],
    ['no usr', () => ['--no-repo', 'compute-id', at('rootfs/run')], /no directory usr/],
    ['no folder', () => ['--no-repo', 'compute-id', at('nowhere')], /reading .*nowhere[^]*ENOENT/],
    ['a path out of the image', () => ['--repo', at('repo'), 'dump-files', 'name', '/usr/../usr'], /no path of a file/],
    ['a file that is not there', () => ['--repo', at('repo'), 'dump-files', 'name', '/usr/small/x'], /not found/],
    [
      'the content of a directory',
      () => ['--repo', at('repo'), 'dump-files', '--backing-path-only', 'name', '/usr'],
      /is a directory/,
    ],
    [
      'a name that leads out of refs',
      () => ['--repo', at('repo'), 'create-image', at('rootfs'), '../x'],
      /cannot be a name/,
    ],
  ];
  for (const [what, args, message] of failures) {
    test(what, () => {
      const { status, stdout, stderr } = runCli(args());
      assert.match(stderr, message);
      assert.deepEqual([status, stdout], [1, '']);
    });
  }

  test('a folder on standard input is no image', () => {
    const { status, stderr } = spawnSync('sh', ['-c', '"$0" --repo "$1" import-image some <.', cfsbridge, at('repo')], {
      encoding: 'utf8',
    });
    assert.deepEqual([stderr, status], ['Error: standard input is a directory\n', 1]);
    assert.equal(runCli(['--repo', at('repo'), 'image-objects', 'some']).status, 1);
  });

  test('dump-files of a folder that is written with a slash', () => {
    inRepo('create-image', at('rootfs'), 'web');
    assert.equal(
      inRepo('dump-files', 'refs/web', '/usr/'),
      inRepo('dump-files', 'refs/web', '/usr').replace('/usr ', '/usr/ '),
    );
  });
});
