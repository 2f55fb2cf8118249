// Commits that are not kept as cfsctl keeps them, and cfsctl on the same repository: docs/ostree.md shows what this says.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { bytesOf } from '../../src/bytes.js';
import { openPath } from '../../src/fd/fd.js';
import { setXattr } from '../../src/fd/xattrs.js';
import { cfsbridge } from '../support/cli/run-cli.js';
import { cfsctl, inTree, peers, run, SharedFolder, succeed, whyNoPeers } from './peers.js';

const skip =
  whyNoPeers() ||
  (existsSync(join(peers, 'sid/usr/bin/ostree')) ? false : 'ostree is not there; scripts/peers.sh installs it');
const page = readFileSync(new URL('../../../docs/ostree.md', import.meta.url), 'utf8');
const [PART, FIXED] = ['web/stable:/usr/bin', 'web/stable:fixed-xattrs'];

describe('forms of a commit', { skip }, () => {
  const shared = new SharedFolder();
  const repository = join(shared.path, 'repository');
  const archive = join(shared.path, 'archive');
  const call = (program: string, ...words: string[]): string => succeed(program, ['--repo', repository, ...words]);
  const pull = (program: string, ...options: string[]): string =>
    call(program, 'ostree', 'pull-local', archive, 'web/stable', ...options);
  after(() => shared[Symbol.dispose]());

  before(() => {
    const tree = join(shared.path, 'tree');
    for (const name of ['usr/bin', 'usr/share']) mkdirSync(join(tree, name), { recursive: true });
    writeFileSync(join(tree, 'usr/bin/tool'), 'tool '.repeat(100));
    writeFileSync(join(tree, 'usr/share/data'), 'data '.repeat(100));
    {
      using file = openPath(bytesOf(join(tree, 'usr/bin/tool')));
      setXattr(file, 'user.colour', Buffer.from('blue'));
    }
    inTree('ostree', `--repo=${shared.inside}/archive`, 'init', '--mode=archive');
    inTree('ostree', `--repo=${shared.inside}/archive`, 'commit', '-b', 'web/stable', `${shared.inside}/tree`);
    call(cfsctl, 'init', '--insecure');
    pull(cfsbridge, '--fix-xattrs');
    pull(cfsbridge, '--subpath', '/usr/bin');
  });

  test('cfsctl neither lists nor finds them, checks them, and takes nothing of them for garbage', () => {
    // As they are on the page.
    const says: [words: string, text: string][] = [
      ['ostree images', 'No ostree commits found\n'],
      ['fsck', 'meta.json: ok\nobjects: 6/6 ok\nstreams: 2/2 ok\nimages: 2/2 ok\nstatus: ok\n'],
      ['gc --dry-run', 'Dry run (no files deleted):\nObjects: 0 removed (0 bytes)\n'],
    ];
    for (const [words, text] of says) {
      assert.equal(call(cfsctl, ...words.split(' ')), text);
      assert.ok(page.includes(`$ cfsctl ${words}\n${text}`.replace(/^/gm, '    ').trimEnd()), words);
    }
    for (const name of [PART, FIXED])
      for (const words of [
        ['inspect', name],
        ['compute-id', name],
        ['dump', name],
        ['untag', name],
        ['tag', name, 'x'],
      ]) {
        const { status, stdout } = run(cfsctl, ['--repo', repository, 'ostree', ...words]);
        assert.deepEqual([status, stdout], [1, ''], words.join(' '));
      }
    assert.match(call(cfsbridge, 'ostree', 'images'), /web\/stable:\/usr\/bin .*\n.*\n.*web\/stable:fixed-xattrs/);
  });

  test('cfsctl mounts their images by their ids', () => {
    const mountpoint = join(shared.path, 'mountpoint');
    mkdirSync(mountpoint);
    const look = 'python3 -c "import os; print(os.getxattr(\\"usr/bin/tool\\", \\"user.colour\\"))"; ls usr';
    const shown = [FIXED, PART].map((name) => {
      const id = call(cfsbridge, 'ostree', 'compute-id', name).trim();
      const script = `"$1" --repo "$2" mount "$3" "$4" && cd "$4" && ${look}`;
      return run('unshare', ['--mount', 'sh', '-c', script, 'sh', cfsctl, repository, id, mountpoint]).stdout;
    });
    assert.deepEqual(shown, ["b'blue'\nbin\nshare\n", 'bin\n']);
  });

  test('cfsctl’s whole commit is beside them, and goes without them', () => {
    assert.match(pull(cfsctl), /^tagged  web\/stable$/m);
    assert.match(call(cfsbridge, 'ostree', 'images'), /web\/stable .*\n[^]*web\/stable:fixed-xattrs/);
    call(cfsctl, 'ostree', 'untag', 'web/stable');
    assert.match(call(cfsctl, 'gc'), /^Pruned symlinks: 1 images, 1 streams$/m);
    for (const program of [cfsctl, cfsbridge])
      assert.match(call(program, 'fsck'), /^streams: 2\/2 ok\nimages: 2\/2 ok$/m);
    for (const name of [PART, FIXED]) assert.match(call(cfsbridge, 'ostree', 'dump', name), /^\/usr\/bin\/tool 500 /m);
  });

  test('they are made of cfsctl’s commit, and cfsctl collects them when their names are gone', () => {
    for (const name of [PART, FIXED]) call(cfsbridge, 'ostree', 'untag', name);
    assert.match(call(cfsctl, 'gc'), /^Pruned symlinks: 2 images, 2 streams$/m);
    assert.match(call(cfsbridge, 'fsck'), /^objects: 0\/0 ok\nstreams: 0\/0 ok\nimages: 0\/0 ok$/m);
    pull(cfsctl);
    for (const options of [['--fix-xattrs'], ['--subpath', '/usr/bin']]) {
      const printed = JSON.parse(pull(cfsbridge, ...options, '--json')) as { metadata: number; files: number };
      assert.deepEqual([printed.metadata, printed.files], [0, 0], options.join(' '));
    }
    call(cfsctl, 'ostree', 'untag', 'web/stable');
    for (const program of [cfsctl, cfsbridge]) call(program, 'gc');
    assert.match(call(cfsctl, 'fsck'), /^streams: 2\/2 ok\nimages: 2\/2 ok\nstatus: ok$/m);
  });
});
