// On filesystems that can share blocks, a push into a store shares all content, and writes what the repository has
// inline. The kernel says so: by the calls that were made, and by what it tells of the files' extents.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { cfsbridge, runCli } from '../support/cli/run-cli.js';
import { LoopFilesystem, TemporaryFolder, whyNoLoop } from '../support/filesystems.js';
import { straysOf } from '../support/images/store-strays.js';
import { Layout, tarOf } from '../support/images/source-layout.js';
import { filesBelow } from '../support/walk.js';
import { run, succeed } from './peers.js';

const whyNoStrace = run('strace', ['--version']).status === 0 ? false : 'needs strace, which shows the calls';
const whyNoFilefrag = run('filefrag', ['-V']).status === 0 ? false : 'needs filefrag, which shows the extents';

/** Content in the stream itself; the largest that is. */
const INLINE = 64;
/** Larger ones have extents that can be shared on every filesystem. */
const BLOCK = 4096;
const files: Record<string, Buffer> = Object.fromEntries(
  [0, 1, INLINE, INLINE + 1, 1000, BLOCK, BLOCK + 1, 5000, 70_000, 1 << 20, (5 << 20) + 77].map((size, index) => [
    `file-${size}`,
    Buffer.alloc(size, `${index} content `),
  ]),
);
const objects = Object.values(files).filter(({ length }) => length > INLINE);
const inline = Object.values(files).filter(({ length }) => length <= INLINE);
const sum = (buffers: readonly Buffer[]): number => buffers.reduce((total, { length }) => total + length, 0);

/** A repository with an image, `it`, in a folder. */
function makeRepositoryIn(folder: string): string {
  using elsewhere = new TemporaryFolder();
  const layout = new Layout(join(elsewhere.path, 'layout'));
  layout.publish({ it: layout.image([{ tar: tarOf(files) }]) });
  const repository = join(folder, 'repository');
  succeed(cfsbridge, ['--repo', repository, 'init', '--insecure']);
  succeed(cfsbridge, ['--repo', repository, 'oci', 'pull', `oci:${layout.path}:it`, 'it']);
  return repository;
}

const reference = (folder: string): string =>
  `containers-storage:[overlay@${join(folder, 'store')}+${join(folder, 'run')}]localhost/it:1`;

const CONTENT = ['copy_file_range', 'sendfile', 'splice', 'write', 'writev', 'pwrite64', 'pwritev', 'pwritev2'];

describe('a push into a store', { skip: whyNoStrace || whyNoFilefrag }, () => {
  for (const type of ['btrfs', 'xfs'] as const)
    test(`${type}: every object is cloned, and no block is there twice`, { skip: whyNoLoop(type) }, (t) => {
      using filesystem = new LoopFilesystem(type);
      const repository = makeRepositoryIn(filesystem.path);
      const trace = join(filesystem.path, 'trace');
      const strace = ['-f', '-qq', '-y', '-o', trace, '-e', `trace=ioctl,${CONTENT.join(',')}`];
      succeed('strace', [
        ...[...strace, cfsbridge, '--repo', repository, 'oci', 'push', '--zero-copy', 'it'],
        reference(filesystem.path),
      ]);
      const calls = readFileSync(trace, 'latin1').split('\n');
      const clones = calls.filter((call) => /ioctl\(\d+<[^>]*>, (?:BTRFS_IOC_CLONE or )?FICLONE/.test(call));
      assert.deepEqual(
        clones.filter((call) => !call.endsWith(' = 0')),
        [],
      );
      assert.equal(clones.length, objects.length);
      const written = calls.flatMap((call) => {
        const [, name, size] = /(\w+)\(\d+<[^>]*\/0-addition\/diff\/[^>]*>.* = (\d+)$/.exec(call) ?? [];
        return name !== undefined && name !== 'ioctl' ? [Number(size)] : [];
      });
      assert.equal(
        written.reduce((total, size) => total + size, 0),
        sum(inline),
      );
      assert.ok(!calls.some((call) => /^\d+ +(?:copy_file_range|sendfile|splice)\(/.test(call)));
      assertShared(filesystem.path, objects.filter(({ length }) => length > BLOCK).length);
      t.diagnostic(`${clones.length} clones, ${sum(inline)} bytes written of ${sum(Object.values(files))}`);
    });

  test('ext4: everything is copied, and --zero-copy says what cannot be shared', { skip: whyNoLoop('ext4') }, () => {
    using filesystem = new LoopFilesystem('ext4');
    const repository = makeRepositoryIn(filesystem.path);
    const push = (...options: string[]): ReturnType<typeof runCli> =>
      runCli(['--repo', repository, 'oci', 'push', ...options, 'it', reference(filesystem.path)]);
    const refused = push('--zero-copy');
    assert.equal(refused.status, 1);
    assert.match(refused.stderr, /^Error: .*cannot be (?:shared|cloned)/m);
    const store = join(filesystem.path, 'store');
    assert.deepEqual(straysOf(store), []);
    assert.ok(
      !existsSync(join(store, 'overlay-images/images.json')) ||
        !/localhost/.test(readFileSync(join(store, 'overlay-images/images.json'), 'utf8')),
    );
    const { status, stderr } = push();
    assert.equal(status, 0, stderr);
    assert.deepEqual(straysOf(store), []);
    const diff = filesBelow(join(store, 'overlay')).filter((path) => path.includes('/diff/'));
    assert.equal(
      diff.reduce((total, path) => total + statSync(path).size, 0),
      sum(Object.values(files)),
    );
  });
});

/** Each extent of each larger file is in use by another file, too. */
function assertShared(folder: string, count: number): void {
  execFileSync('sync', ['-f', folder]);
  const larger = filesBelow(join(folder, 'store/overlay')).filter(
    (path) => path.includes('/diff/') && statSync(path).size > BLOCK,
  );
  assert.equal(larger.length, count);
  for (const path of larger) {
    const extents = execFileSync('filefrag', ['-v', path], { encoding: 'utf8' })
      .split('\n')
      .filter((line) => /^ +\d+: /.test(line));
    assert.ok(extents.length > 0, path);
    assert.deepEqual(
      extents.filter((line) => !/\bshared\b/.test(line)),
      [],
      path,
    );
  }
}
