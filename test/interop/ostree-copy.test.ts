// Commits that cfsctl brought into a repository, copied into another one, and what cfsctl says of that.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { bytesOf } from '../../src/bytes.js';
import { openPath } from '../../src/fd/fd.js';
import { setXattr } from '../../src/fd/xattrs.js';
import { cfsbridge } from '../support/cli/run-cli.js';
import { cfsctl, inTree, peers, SharedFolder, succeed, whyNoPeers } from './peers.js';

const skip =
  whyNoPeers() ||
  (existsSync(join(peers, 'sid/usr/bin/ostree')) ? false : 'ostree is not there; scripts/peers.sh installs it');
const ALGORITHMS = ['sha256', 'sha512'] as const;
const REF = 'web/stable';

describe('a commit of another repository', { skip }, () => {
  const shared = new SharedFolder();
  const at = (name: string): string => join(shared.path, name);
  const call = (program: string, repository: string, ...words: string[]): string =>
    succeed(program, ['--repo', at(repository), ...words]);
  const init = (program: string, repository: string, algorithm: string): string =>
    call(program, repository, 'init', '--insecure', '--algorithm', `fsverity-${algorithm}-12`);
  after(() => shared[Symbol.dispose]());

  before(() => {
    for (const name of ['usr/bin', 'etc']) mkdirSync(join(at('tree'), name), { recursive: true });
    for (const size of [0, 63, 64, 65, 127, 128, 129, 5000, 100_000])
      writeFileSync(join(at('tree'), `usr/file${size}`), 'x'.repeat(size));
    symlinkSync('../usr/bin/tool', join(at('tree'), 'etc/tool'));
    writeFileSync(join(at('tree'), 'usr/bin/tool'), 'tool '.repeat(100), { mode: 0o755 });
    {
      using file = openPath(bytesOf(join(at('tree'), 'usr/bin/tool')));
      setXattr(file, 'user.colour', Buffer.from('blue'));
    }
    inTree('ostree', `--repo=${shared.inside}/archive`, 'init', '--mode=archive');
    inTree('ostree', `--repo=${shared.inside}/archive`, 'commit', '-b', REF, `${shared.inside}/tree`);
    for (const algorithm of ALGORITHMS) {
      init(cfsctl, `theirs-${algorithm}`, algorithm);
      call(cfsctl, `theirs-${algorithm}`, 'ostree', 'pull-local', at('archive'), REF);
      // It writes the stream twice.
      call(cfsctl, `theirs-${algorithm}`, 'gc');
    }
  });

  for (const from of ALGORITHMS)
    for (const to of ALGORITHMS)
      test(`from ${from} to ${to}: for cfsctl it is the one that it would have brought itself`, () => {
        const name = `copy-${from}-${to}`;
        init(cfsbridge, name, to);
        call(cfsbridge, name, 'ostree', 'pull-local', at(`theirs-${from}`), REF);
        for (const words of [
          ['ostree', 'images'],
          ['ostree', 'inspect', REF],
          ['ostree', 'compute-id', REF],
          ['ostree', 'dump', REF],
          ['fsck'],
        ])
          assert.equal(call(cfsctl, name, ...words), call(cfsctl, `theirs-${to}`, ...words), words.join(' '));
        assert.match(call(cfsctl, name, 'gc', '--dry-run'), /^Objects: 0 removed \(0 bytes\)$/m);
        assert.match(call(cfsbridge, name, 'fsck'), /^status: ok$/m);
      });

  test('a repair takes from cfsctl’s repository of the other algorithm what is lost', () => {
    const name = 'copy-sha256-sha512';
    for (const folder of readdirSync(join(at(name), 'objects')))
      rmSync(join(at(name), 'objects', folder), { recursive: true });
    call(cfsbridge, name, 'fsck', '--repair', '--from', at('theirs-sha256'));
    for (const words of [['ostree', 'dump', REF], ['ostree', 'compute-id', REF], ['fsck']])
      assert.equal(call(cfsctl, name, ...words), call(cfsctl, 'theirs-sha512', ...words), words.join(' '));
  });
});
