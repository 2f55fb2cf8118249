// Commits whose files have xattrs, as those of systems with SELinux do: what either program makes of them, the other reads,
// prints, mounts and makes commits of.
import assert from 'node:assert/strict';
import { cpSync, existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { bytesOf } from '../../src/bytes.js';
import { openPath } from '../../src/fd/fd.js';
import { setXattr } from '../../src/fd/xattrs.js';
import { verityDigest } from '../../src/fsverity/digest.js';
import { objectPath } from '../../src/fsverity/object-id.js';
import { cfsbridge } from '../support/cli/run-cli.js';
import { cfsctl, inTree, peers, run, runInPeers, SharedFolder, succeed, whyNoPeers, type Answer } from './peers.js';

const skip =
  whyNoPeers() ||
  (existsSync(join(peers, 'sid/usr/bin/ostree')) ? false : 'ostree is not there; scripts/peers.sh installs it');
const PROGRAMS = [cfsbridge, cfsctl] as const;
const FILES = { few: 'few', some: 'some '.repeat(30), much: 'much '.repeat(100_000) };

for (const [algorithm, version] of [
  ['fsverity-sha256-12', '1'],
  ['fsverity-sha512-12', '2'],
  ['fsverity-sha512-12', '0'],
] as const)
  describe(`a commit with xattrs, ${algorithm}, EROFS ${version}`, { skip }, () => {
    const shared = new SharedFolder();
    after(() => shared[Symbol.dispose]());
    const archive = join(shared.path, 'archive');
    const mountpoint = join(shared.path, 'mountpoint');
    /** One whose commit this program has brought, and one with cfsctl's. */
    const repositories = [join(shared.path, 'ours'), join(shared.path, 'theirs')] as const;

    before(() => {
      const tree = join(shared.path, 'tree');
      mkdirSync(join(tree, 'folder'), { recursive: true });
      mkdirSync(mountpoint);
      for (const [name, text] of Object.entries(FILES)) writeFileSync(join(tree, 'folder', name), text);
      symlinkSync('some', join(tree, 'folder/link'));
      for (const name of ['folder', 'folder/few', 'folder/much']) {
        using file = openPath(bytesOf(join(tree, name)));
        setXattr(file, 'user.colour', Buffer.from(name));
      }
      inTree('ostree', `--repo=${shared.inside}/archive`, 'init', '--mode=archive');
      inTree('ostree', `--repo=${shared.inside}/archive`, 'commit', '-b', 'a/b', `${shared.inside}/tree`);
      for (const [i, program] of PROGRAMS.entries()) {
        const global = ['--repo', repositories[i]!];
        succeed(cfsctl, [...global, 'init', '--insecure', '--algorithm', algorithm, '--erofs-version', version]);
        succeed(program, [...global, 'ostree', 'pull-local', archive, 'a/b']);
      }
    });

    const image = (repository: string): string =>
      succeed(cfsctl, ['--repo', repository, 'ostree', 'compute-id', 'a/b']).trim();

    test('each prints and lists what is in it alike', () => {
      for (const words of [
        ['ostree', 'dump', 'a/b'],
        ['dump-files', image(repositories[0]), '/folder', '/folder/few', '/folder/much'],
        ['dump-files', '--backing-path-only', image(repositories[0]), '/folder/much', '/folder/few'],
        ['ostree', 'inspect', 'a/b'],
        ['ostree', 'inspect', '--metadata', 'a/b'],
        ['ostree', 'images'],
      ]) {
        const [first, ...others] = repositories.flatMap((repository) =>
          PROGRAMS.map((program) => succeed(program, ['--repo', repository, ...words])),
        );
        for (const other of others) assert.equal(other, first, words.join(' '));
      }
      const [ours, theirs] = PROGRAMS.map((program) =>
        succeed(program, ['--repo', repositories[0], 'image-objects', image(repositories[0])])
          .split('\n')
          .sort(),
      );
      assert.deepEqual(ours, theirs);
    });

    test('inspect --json shows the same of both, with the digests of all content', () => {
      const [one, other] = repositories.map((repository) => {
        const text = succeed(cfsbridge, ['--repo', repository, 'ostree', 'inspect', '--json', 'a/b']);
        return JSON.parse(text) as { stream: string; objects: { kind: string; size: number; digest?: string }[] };
      });
      assert.deepEqual({ ...one, stream: '' }, { ...other, stream: '' });
      const files = one!.objects.filter(({ kind }) => kind === 'file');
      const digests = Object.values(FILES).map((text) =>
        verityDigest(Buffer.from(text), algorithm === 'fsverity-sha256-12' ? 'sha256' : 'sha512').toString('hex'),
      );
      assert.deepEqual(files.flatMap(({ digest }) => digest ?? []).sort(), digests.sort());
      assert.equal(files.length, digests.length + 1);
    });

    // C knows no other digests.
    const noC = algorithm === 'fsverity-sha256-12' ? false : 'SHA-512';
    test('composefs-info prints the image as C’s does', { skip: noC }, () => {
      cpSync(join(repositories[1], 'objects', objectPath(image(repositories[1]))), join(shared.path, 'image'));
      const { status, stdout, stderr } = run(cfsbridge, ['composefs-info', 'dump', join(shared.path, 'image')]);
      assert.equal(status, 0, stderr);
      assert.equal(stdout, inTree('composefs-info', 'dump', `${shared.inside}/image`));
    });

    /** Mounts in a namespace of its own, and says what is there. */
    function mounted(program: string, repository: string, name: string, look: string): Answer {
      const script = '"$1" --repo "$2" ostree mount "$3" "$4" && cd "$4" && eval "$5"';
      return run('unshare', ['--mount', 'sh', '-c', script, 'sh', program, repository, name, mountpoint, look]);
    }

    const CONTENT = 'cat folder/few folder/link folder/much; readlink folder/link; stat -c "%n %a %u %g %s" folder/*';

    test('each mounts what the other made, and only this one says that the xattrs do not work', () => {
      const shown = repositories.flatMap((repository) =>
        PROGRAMS.map((program) => {
          const { status, stdout, stderr } = mounted(program, repository, 'a/b', CONTENT);
          assert.equal(status, 0, stderr);
          assert.equal(/xattrs of this image do not work/.test(stderr), program === cfsbridge, stderr);
          return stdout;
        }),
      );
      for (const each of shown) assert.equal(each, shown[0]);
      assert.ok(shown[0]!.startsWith(`${FILES.few}${FILES.some}${FILES.much}some\n`));
    });

    const COLOUR = `python3 -c 'import os; print(os.getxattr("folder/much", "user.colour"))'`;

    test('xattrs work with --fix-xattrs, which says nothing, and not without', () => {
      assert.match(mounted(cfsbridge, repositories[1], 'a/b', COLOUR).stderr, /No data available/);
      succeed(cfsbridge, ['--repo', repositories[1], 'ostree', 'pull-local', '--fix-xattrs', archive, 'a/b']);
      const { stdout, stderr } = mounted(cfsbridge, repositories[1], 'a/b:fixed-xattrs', `${COLOUR}; ${CONTENT}`);
      assert.equal(stderr, '');
      assert.ok(stdout.startsWith(`b'folder/much'\n${FILES.few}`), stdout.slice(0, 100));
    });

    test('each makes a commit of the image, which the other and ostree take', () => {
      const bare = `${shared.inside}/bare`;
      inTree('ostree', `--repo=${bare}`, 'init', '--mode=bare');
      const id = image(repositories[0]);
      const words = ['--repo', repositories[0], 'ostree'];
      const time = ['--timestamp', '1000'];
      assert.match(succeed(cfsbridge, [...words, 'commit', id, '--reference', 'again', ...time]), /^tagged  again$/m);
      assert.equal(succeed(cfsctl, [...words, 'compute-id', 'again']), `${id}\n`);
      const [one, other] = PROGRAMS.map((program) => succeed(program, [...words, 'dump', 'again']));
      assert.equal(one, other);
      assert.equal(one, succeed(cfsctl, [...words, 'dump', 'a/b']));
      succeed(cfsbridge, [...words, 'export', 'again', join(shared.path, 'bare'), '--reference', 'again']);
      assert.equal(runInPeers('ostree', `--repo=${bare}`, 'fsck').status, 0);
      const listed = (repository: string, ref: string): string =>
        inTree('ostree', `--repo=${repository}`, 'ls', '-R', '-X', '-C', ref);
      assert.equal(listed(bare, 'again'), listed(`${shared.inside}/archive`, 'a/b'));
    });

    test('neither finds anything wrong, nor loses anything', () => {
      for (const repository of repositories)
        for (const program of PROGRAMS) {
          succeed(program, ['--repo', repository, 'gc']);
          for (const judge of PROGRAMS) assert.match(succeed(judge, ['--repo', repository, 'fsck']), /^status: ok$/m);
          assert.equal(mounted(program, repository, 'a/b', 'cat folder/few').stdout, FILES.few);
        }
    });
  });
