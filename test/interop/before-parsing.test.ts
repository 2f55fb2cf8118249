// What is decided before the command line is parsed: varlinkctl starts both programs with its connection, and both have
// the same programs as commands.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { linkSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { cfsbridge } from '../support/cli/run-cli.js';
import { cfsctl, peers, run, SharedFolder, whyNoPeers, type Answer } from './peers.js';
import { makeRepository } from './repositories.js';

describe('before the command line is parsed', { skip: whyNoPeers() }, () => {
  let folder: SharedFolder;
  const at = (name: string): string => join(folder.path, name);
  before(() => {
    folder = new SharedFolder();
    makeRepository(at('repository'));
    mkdirSync(at('files/sub'), { recursive: true });
    writeFileSync(at('files/large'), Buffer.alloc(5000, 'x'));
    writeFileSync(at('files/small'), 'small');
    for (const name of ['large', 'small']) linkSync(at(`files/${name}`), at(`files/sub/again-${name}`));
    symlinkSync('large', at('files/link'));
    linkSync(at('files/link'), at('files/sub/link'));
    spawnSync('mkfifo', [at('files/fifo')]);
    linkSync(at('files/fifo'), at('files/sub/fifo'));
  });
  after(() => folder[Symbol.dispose]());

  /** varlinkctl of the Debian tree, outside of it, where it can start what is not in there. */
  function varlinkctl(...args: string[]): Answer {
    const libraries = join(peers, 'sid/usr/lib', `${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-linux-gnu`);
    const loader =
      process.arch === 'arm64' ? 'sid/usr/lib/ld-linux-aarch64.so.1' : 'sid/usr/lib64/ld-linux-x86-64.so.2';
    return run(join(peers, loader), [
      '--library-path',
      `${libraries}/systemd:${libraries}`,
      join(peers, 'sid/usr/bin/varlinkctl'),
      ...args,
    ]);
  }

  test('varlinkctl calls exec:cfsbridge as it calls exec:cfsctl', () => {
    for (const [method, parameters] of [
      ['org.composefs.Repository.OpenRepository', { path: at('repository') }],
      ['org.composefs.Repository.OpenRepository', { path: at('nowhere') }],
      ['org.composefs.Oci.ListImages', { handle: 7 }],
    ] as const) {
      const [ours, theirs] = [cfsbridge, cfsctl].map((program) =>
        varlinkctl('-j', 'call', `exec:${program}`, method, JSON.stringify(parameters)),
      );
      const error = ({ stderr }: Answer): string | undefined => /failed: (.*)\n/.exec(stderr)?.[1];
      assert.deepEqual([ours!.status, error(ours!)], [theirs!.status, error(theirs!)], ours!.stderr);
      if (ours!.status === 0) assert.deepEqual(JSON.parse(ours!.stdout), JSON.parse(theirs!.stdout));
    }
    assert.match(varlinkctl('info', `exec:${cfsbridge}`).stdout, /Product: cfsbridge\n/);
  });

  for (const options of [
    ['--hardlinks'],
    [],
    ['--hardlinks', '--use-epoch', '--skip-xattrs'],
    ['--hardlinks', '--min-version=1', '--max-version=1'],
  ])
    test(`mkcomposefs ${options.join(' ')} as a command makes the same image`, () => {
      const made = [cfsbridge, cfsctl].map((program) => {
        const { status, stderr } = run(program, ['mkcomposefs', ...options, at('files'), at('image')]);
        assert.equal(status, 0, stderr);
        return readFileSync(at('image'));
      });
      assert.ok(made[0]!.equals(made[1]!));
    });

  test('composefs-info as a command prints the same', () => {
    assert.equal(run(cfsbridge, ['mkcomposefs', '--hardlinks', at('files'), at('image')]).status, 0);
    const [ours, theirs] = [cfsbridge, cfsctl].map((program) =>
      run(program, ['composefs-info', 'objects', at('image')]),
    );
    assert.match(ours!.stdout, /^[0-9a-f]{2}\/[0-9a-f]{62}\n$/);
    assert.deepEqual([ours!.status, ours!.stdout, ours!.stderr], [theirs!.status, theirs!.stdout, theirs!.stderr]);
  });
});
