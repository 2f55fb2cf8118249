// Commits that were signed with GPG by the real ostree, or by hand, and the deltas that the real ostree makes of them.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { spawnSync } from 'node:child_process';
import { fixture, fixtureJson } from '../support/fixtures.js';
import { cfsbridge } from '../support/cli/run-cli.js';
import { startCli } from '../support/cli/start-cli.js';
import { archiveServer } from '../support/ostree/archive-server.js';
import { cfsctl, inTree, peers, run, SharedFolder, succeed, whyNoPeers } from './peers.js';

const skip =
  whyNoPeers() ||
  (existsSync(join(peers, 'sid/usr/bin/ostree')) ? false : 'ostree is not there; scripts/peers.sh installs it') ||
  (spawnSync('gpgv', ['--version']).error === undefined ? false : 'gpgv is not installed');

describe('signed deltas of ostree', { skip }, () => {
  const shared = new SharedFolder();
  after(() => shared[Symbol.dispose]());
  const { commits } = fixtureJson<{ commits: Record<string, string> }>('ostree/signatures/case.json');
  const refs = Object.keys(commits);
  const key = (name: string): string => join(shared.path, 'keys', name);
  const delta = (ref: string): string => join(shared.path, `${ref.replace('/', '-')}.delta`);

  before(() => {
    const { status, stderr } = spawnSync('tar', ['--no-same-owner', '-xpf', '-', '-C', shared.path], {
      input: fixture('ostree/signatures/source.tar'),
    });
    assert.equal(status, 0, stderr.toString());
    for (const ref of refs)
      inTree(
        ...['ostree', `--repo=${shared.inside}/archive`, 'static-delta', 'generate', '--empty', '--inline'],
        ...[`--to=${ref}`, `--filename=${shared.inside}/${ref.replace('/', '-')}.delta`],
      );
  });

  for (const [title, options, right] of [
    ['key one', ['--verify-ed25519', 'ed25519-one.pub'], ['sig/ed', 'sig/two']],
    ['key two', ['--verify-ed25519', 'ed25519-two.pub'], ['sig/two']],
    ['the OpenPGP key', ['--verify-gpg', 'gpg.pub.asc'], ['sig/gpg']],
    ['no key', [], refs],
  ] as const)
    test(`with ${title}, deltas to ${right.length} of ${refs.length} commits are applied`, () => {
      const repository = join(shared.path, title.replace(/ /g, '-'));
      succeed(cfsctl, ['--repo', repository, 'init', '--insecure']);
      const [option, file] = options;
      const words = option === undefined ? [] : [option, key(file)];
      const taken = refs.filter((ref) => {
        const apply = ['--repo', repository, 'ostree', 'apply-delta', delta(ref), '--reference', ref];
        const { status, stdout, stderr } = run(cfsbridge, [...apply, ...words]);
        if (status === 0) assert.match(stdout, new RegExp(`^commit  ${commits[ref]}$`, 'm'));
        else assert.match(stderr, /signature/);
        return status === 0;
      });
      assert.deepEqual(taken.sort(), [...right].sort());
      for (const ref of taken) {
        const [ours, theirs] = [cfsbridge, cfsctl].map((program) =>
          succeed(program, ['--repo', repository, 'ostree', 'dump', ref]),
        );
        assert.equal(ours, theirs);
      }
      assert.match(succeed(cfsctl, ['--repo', repository, 'fsck']), /^status: ok$/m);
    });

  for (const [title, options, right] of [
    ['key one', ['--verify-ed25519', 'ed25519-one.pub'], ['sig/ed', 'sig/two']],
    ['the OpenPGP key', ['--verify-gpg', 'gpg.pub.asc'], ['sig/gpg']],
  ] as const)
    test(`with ${title}, deltas of a server that has no other signatures bring ${right.length} commits`, async (t) => {
      for (const ref of refs)
        inTree('ostree', `--repo=${shared.inside}/archive`, 'static-delta', 'generate', '--empty', `--to=${ref}`);
      inTree('ostree', `--repo=${shared.inside}/archive`, 'static-delta', 'reindex');
      const { url, lines } = await archiveServer(t, [join(shared.path, 'archive')], ({ url: path = '' }, response) => {
        if (!path.endsWith('.commitmeta')) return false;
        response.writeHead(404).end();
        return true;
      });
      const repository = join(shared.path, `pulled-${title.replace(/ /g, '-')}`);
      succeed(cfsctl, ['--repo', repository, 'init', '--insecure']);
      const [option, file] = options;
      const taken: string[] = [];
      for (const ref of refs) {
        const words = ['--repo', repository, 'ostree', 'pull', url, ref, option, key(file)];
        const { status, stdout, stderr } = await startCli(words).ended;
        if (status === 0) assert.match(stdout, /^objects .* via 1 delta parts$/m);
        else assert.match(stderr, /signature/);
        if (status === 0) taken.push(ref);
      }
      assert.deepEqual(taken.sort(), [...right].sort());
      assert.ok(!lines().some((line) => line.includes('.filez')));
      assert.match(succeed(cfsctl, ['--repo', repository, 'fsck']), /^status: ok$/m);
    });
});
