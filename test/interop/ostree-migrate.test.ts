// A repository with commits changes its algorithm: cfsctl reads them as before, and finds nothing to bring.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { cfsbridge } from '../support/cli/run-cli.js';
import { writeArchive } from '../support/images/ostree-archive.js';
import { cfsctl, SharedFolder, succeed, whyNoPeers } from './peers.js';

const FILES = { empty: '', few: 'x'.repeat(60), some: 'y'.repeat(100), more: Buffer.alloc(300_000, 'z') };

describe('commits in a repository that changes its algorithm', { skip: whyNoPeers() }, () => {
  const shared = new SharedFolder();
  after(() => shared[Symbol.dispose]());

  for (const [from, to] of [
    ['256', '512'],
    ['512', '256'],
  ] as const)
    test(`from sha${from} to sha${to}: both programs read them, check them, and collect them`, () => {
      const archive = join(shared.path, `archive-${from}`);
      writeArchive(archive, { web: FILES, other: { ...FILES, few: 'another' } });
      const path = join(shared.path, `from-${from}`);
      const ask = (program: string, ...words: string[]): string => succeed(program, ['--repo', path, ...words]);
      ask(cfsctl, 'init', '--insecure', '--algorithm', `fsverity-sha${from}-12`);
      ask(cfsctl, 'ostree', 'pull-local', archive, 'web');
      ask(cfsbridge, 'ostree', 'pull-local', archive, 'other');
      const before = ask(cfsctl, 'ostree', 'inspect', 'web');
      ask(cfsbridge, 'migrate', '--algorithm', `fsverity-sha${to}-12`);
      assert.equal(ask(cfsctl, 'ostree', 'inspect', 'web'), before);
      for (const words of [
        ['ostree', 'inspect', 'other'],
        ['ostree', 'dump', 'web'],
        ['ostree', 'dump', 'other'],
        ['ostree', 'compute-id', 'web'],
      ])
        assert.equal(ask(cfsbridge, ...words), ask(cfsctl, ...words), words.join(' '));
      for (const program of [cfsctl, cfsbridge]) {
        assert.match(ask(program, 'fsck'), /^status: ok$/m);
        assert.match(ask(program, 'ostree', 'pull-local', archive, 'web'), /^objects 0 metadata \+ 0 files/m);
      }
      ask(cfsctl, 'gc');
      assert.match(ask(cfsbridge, 'fsck'), /^streams: 2\/2 ok$/m);
      ask(cfsbridge, 'ostree', 'untag', 'web');
      ask(cfsctl, 'gc');
      assert.match(ask(cfsbridge, 'fsck'), /^streams: 1\/1 ok$/m);
      assert.match(ask(cfsctl, 'ostree', 'inspect', 'other'), /^commit /m);
    });
});
