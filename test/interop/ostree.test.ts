// Commits that the real ostree made, in repositories of each mode that it writes: this program and cfsctl make the same of
// them, and each works on what the other has stored; ostree takes what is exported.
import assert from 'node:assert/strict';
import { chmodSync, chownSync, existsSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { bytesOf } from '../../src/bytes.js';
import { openPath } from '../../src/fd/fd.js';
import { setXattr } from '../../src/fd/xattrs.js';
import { cfsbridge } from '../support/cli/run-cli.js';
import { writeLayout } from '../support/images/oci-layout.js';
import { systemTar } from '../support/layers/system-tar.js';
import { cfsctl, inTree, peers, run, SharedFolder, succeed, whyNoPeers } from './peers.js';

const skip =
  whyNoPeers() ||
  (existsSync(join(peers, 'sid/usr/bin/ostree')) ? false : 'ostree is not there; scripts/peers.sh installs it');
const MODES = ['archive', 'bare', 'bare-user', 'bare-user-only'] as const;

describe('ostree', { skip }, () => {
  const shared = new SharedFolder();
  after(() => shared[Symbol.dispose]());
  const ostree = (repository: string, ...words: string[]): string =>
    inTree('ostree', `--repo=${shared.inside}/${repository}`, ...words);
  let made = 0;
  const repository = (algorithm: string, version: string): string => {
    const path = join(shared.path, `composefs-${made++}`);
    succeed(cfsctl, ['--repo', path, 'init', '--insecure', '--algorithm', algorithm, '--erofs-version', version]);
    return path;
  };

  const commit = (): void => {
    const tree = join(shared.path, 'tree');
    mkdirSync(join(tree, 'usr/bin'), { recursive: true });
    for (const [name, size] of [
      ['none', 0],
      ['few', 60],
      ['some', 100],
      ['more', 5000],
      ['much', 3_000_000],
    ] as const)
      writeFileSync(join(tree, `usr/${name}`), Buffer.alloc(size, `${name} `));
    writeFileSync(join(tree, 'usr/bin/tool'), 'tool '.repeat(50));
    chmodSync(join(tree, 'usr/bin/tool'), 0o755);
    symlinkSync('usr/bin', join(tree, 'bin'));
    chownSync(join(tree, 'usr/some'), 7, 8);
    for (const mode of MODES) {
      ostree(mode, 'init', `--mode=${mode}`);
      const options = mode === 'bare-user-only' ? ['--canonical-permissions'] : [];
      ostree(mode, 'commit', '-b', 'a/b', '-s', mode, '--timestamp=@1000', ...options, `${shared.inside}/tree`);
    }
    rmSync(tree, { recursive: true });
  };

  const pulled = (program: string, path: string, mode: string, ...options: string[]): string[] =>
    succeed(program, ['--repo', path, 'ostree', 'pull-local', join(shared.path, mode), 'a/b', ...options])
      .split('\n')
      .filter((line) => !line.startsWith('verity'));

  for (const mode of MODES)
    test(`${mode}: the same commit stream and image, and each works on what the other stored`, () => {
      if (!existsSync(join(shared.path, mode))) commit();
      for (const [algorithm, version] of [
        ['fsverity-sha256-12', '1'],
        ['fsverity-sha512-12', '2'],
      ] as const) {
        const [ours, theirs] = [repository(algorithm, version), repository(algorithm, version)];
        const lines = pulled(cfsbridge, ours, mode);
        assert.deepEqual(lines, pulled(cfsctl, theirs, mode));
        const id = lines[0]!.split(/ +/)[1]!;
        for (const words of [
          ['cat', `ostree-commit-${id}`],
          ['ostree', 'dump', 'a/b'],
          ['ostree', 'inspect', 'a/b'],
          ['ostree', 'compute-id', 'a/b'],
          ['ostree', 'images'],
          ['fsck'],
        ]) {
          const answers = [ours, theirs].flatMap((path) =>
            [cfsbridge, cfsctl].map((program) => run(program, ['--repo', path, ...words])),
          );
          const [first, ...others] = answers.map(({ status, stdout }) => ({
            status,
            stdout: stdout.replace(/^objects: .*$/m, ''),
          }));
          for (const other of others) assert.deepEqual(other, first, words.join(' '));
          assert.equal(first!.status, 0, answers[0]!.stderr);
        }
        for (const [program, other, path] of [
          [cfsctl, cfsbridge, ours],
          [cfsbridge, cfsctl, theirs],
        ] as const) {
          succeed(program, ['--repo', path, 'gc']);
          assert.match(succeed(other, ['--repo', path, 'fsck']), /^status: ok$/m);
          succeed(program, ['--repo', path, 'ostree', 'untag', 'a/b']);
          succeed(other, ['--repo', path, 'gc']);
          assert.doesNotMatch(succeed(program, ['--repo', path, 'fsck']), /^streams: [1-9]/m);
        }
      }
    });

  for (const mode of ['bare', 'bare-user', 'bare-user-only'])
    test(`${mode}: ostree takes what is exported`, () => {
      if (!existsSync(join(shared.path, mode))) commit();
      const path = repository('fsverity-sha512-12', '1');
      const source = mode === 'bare-user-only' ? mode : 'archive';
      pulled(cfsbridge, path, source);
      const target = `exported-${mode}`;
      ostree(target, 'init', `--mode=${mode}`);
      succeed(cfsbridge, ['--repo', path, 'ostree', 'export', 'a/b', join(shared.path, target), '--reference', 'c']);
      ostree(target, 'fsck');
      assert.equal(ostree(target, 'rev-parse', 'c'), ostree(source, 'rev-parse', 'a/b'));
      assert.equal(ostree(target, 'ls', '-R', '-X', '-C', 'c'), ostree(source, 'ls', '-R', '-X', '-C', 'a/b'));
    });

  test('xattrs that work: an image of its own, which cfsctl leaves alone as long as it has a name', () => {
    const tree = join(shared.path, 'labelled');
    mkdirSync(tree);
    writeFileSync(join(tree, 'file'), 'much text '.repeat(1000));
    {
      using file = openPath(bytesOf(join(tree, 'file')));
      setXattr(file, 'user.colour', Buffer.from('blue'));
    }
    ostree('labels', 'init', '--mode=archive');
    ostree('labels', 'commit', '-b', 'a/b', '-s', 'labels', '--timestamp=@1000', `${shared.inside}/labelled`);
    const path = repository('fsverity-sha256-12', '1');
    const theirs = pulled(cfsctl, repository('fsverity-sha256-12', '1'), 'labels');
    assert.deepEqual(pulled(cfsbridge, path, 'labels'), theirs);
    const fixed = pulled(cfsbridge, path, 'labels', '--fix-xattrs');
    const [line, image = ''] = fixed.find((each) => each.startsWith('image'))!.split(/ +/);
    assert.ok(!theirs.includes(`${line}   ${image}`));
    const answers = (name: string): string[] =>
      ['dump', 'compute-id'].map((verb) => succeed(cfsbridge, ['--repo', path, 'ostree', verb, name]));
    const name = fixed.find((each) => each.startsWith('tagged'))!.replace(/^tagged +/, '');
    const before = answers(name);
    assert.match(before[0]!, /^\/file .* user\.colour=blue$/m);
    assert.equal(before[1], `${image}\n`);
    for (const left of [['a/b', name], [name]]) {
      for (const program of [cfsctl, cfsbridge]) {
        succeed(program, ['--repo', path, 'gc']);
        for (const judge of [cfsctl, cfsbridge])
          assert.match(succeed(judge, ['--repo', path, 'fsck']), /^status: ok$/m);
      }
      const names = succeed(cfsctl, ['--repo', path, 'ostree', 'images']);
      assert.deepEqual([names.includes('a/b'), names.includes(name)], [left.includes('a/b'), false]);
      assert.deepEqual(answers(name), before);
      if (left.includes('a/b')) succeed(cfsctl, ['--repo', path, 'ostree', 'untag', 'a/b']);
    }
    const mountpoint = join(shared.path, 'mountpoint');
    mkdirSync(mountpoint);
    const python = 'import os, sys; sys.stdout.write(os.getxattr(sys.argv[1], "user.colour").decode())';
    const script = '"$1" --repo "$2" ostree mount "$3" "$4" && python3 -c "$5" "$4/file"';
    const shown = ['--mount', 'sh', '-c', script, 'sh', cfsbridge, path, name, mountpoint, python];
    assert.equal(succeed('unshare', shown), 'blue');
    succeed(cfsbridge, ['--repo', path, 'ostree', 'untag', name]);
    succeed(cfsctl, ['--repo', path, 'gc']);
    assert.match(succeed(cfsbridge, ['--repo', path, 'fsck']), /^streams: 0\/0 ok$/m);
  });

  test('a part of a commit: cfsctl leaves it alone as long as it has a name', () => {
    if (!existsSync(join(shared.path, 'archive'))) commit();
    const path = repository('fsverity-sha512-12', '2');
    const lines = pulled(cfsbridge, path, 'archive', '--subpath', '/usr/bin', '--subpath', 'usr/more');
    const name = lines.find((line) => line.startsWith('tagged'))!.replace(/^tagged +/, '');
    const dump = (): string => succeed(cfsbridge, ['--repo', path, 'ostree', 'dump', name]);
    const before = dump();
    assert.deepEqual(
      before.split('\n').flatMap((line) => /^\S+/.exec(line) ?? []),
      ['/', '/usr', '/usr/bin', '/usr/bin/tool', '/usr/more'],
    );
    for (const program of [cfsctl, cfsbridge]) {
      succeed(program, ['--repo', path, 'gc']);
      for (const judge of [cfsctl, cfsbridge]) assert.match(succeed(judge, ['--repo', path, 'fsck']), /^status: ok$/m);
    }
    assert.equal(dump(), before);
    const whole = pulled(cfsctl, path, 'archive');
    assert.deepEqual(
      whole.slice(0, 3),
      pulled(cfsbridge, repository('fsverity-sha512-12', '2'), 'archive').slice(0, 3),
    );
    assert.equal(dump(), before);
    for (const each of [name, 'a/b']) succeed(cfsbridge, ['--repo', path, 'ostree', 'untag', each]);
    succeed(cfsctl, ['--repo', path, 'gc']);
    assert.match(succeed(cfsbridge, ['--repo', path, 'fsck']), /^streams: 0\/0 ok$/m);
  });

  test('ostree takes what is exported of a container image', () => {
    const path = repository('fsverity-sha512-12', '1');
    const layout = join(shared.path, 'layout');
    const files = {
      'usr/bin/tool': 'tool '.repeat(100),
      'etc/tool': 'few',
      'run/lock': 'none',
      'etc/selinux/config': 'SELINUXTYPE=targeted\n',
      'etc/selinux/targeted/contexts/files/file_contexts': '/.* u:o:default\n/etc(/.*)? u:o:etc\n',
    };
    writeLayout(layout, [systemTar(files)]);
    succeed(cfsbridge, ['--repo', path, 'oci', 'pull', `oci:${layout}:image`, 'web']);
    for (const mode of ['bare', 'bare-user']) {
      const target = `container-${mode}`;
      ostree(target, 'init', `--mode=${mode}`);
      succeed(cfsbridge, [
        '--repo',
        path,
        'ostree',
        'export',
        '--oci',
        'web',
        join(shared.path, target),
        '--reference',
        'c',
      ]);
      ostree(target, 'fsck');
      const paths = ostree(target, 'ls', '-R', 'c').match(/\/\S*$/gm);
      assert.deepEqual(paths, [
        '/',
        '/boot',
        '/run',
        '/sysroot',
        '/usr',
        '/usr/bin',
        '/usr/bin/tool',
        '/usr/etc',
        '/usr/etc/tool',
        '/usr/etc/selinux',
        '/usr/etc/selinux/config',
        '/usr/etc/selinux/targeted',
        '/usr/etc/selinux/targeted/contexts',
        '/usr/etc/selinux/targeted/contexts/files',
        '/usr/etc/selinux/targeted/contexts/files/file_contexts',
      ]);
      const labels = ostree(target, 'ls', '-R', '-X', 'c');
      for (const [path, label] of [
        ['/usr/etc/tool', 'etc'],
        ['/usr/bin/tool', 'default'],
        ['/usr/etc', 'etc'],
      ])
        assert.match(labels, new RegExp(`b'security\\.selinux', .*u:o:${label}.* ${path}$`, 'm'));
    }
  });
});
