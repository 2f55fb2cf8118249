// Commits of real ostree, served by nginx: both programs make the same of them, by objects and by deltas.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { cfsbridge } from '../support/cli/run-cli.js';
import { startNginx } from './nginx.js';
import { cfsctl, inTree, run, SharedFolder, succeed, whyNoPeers } from './peers.js';

const skip = whyNoPeers();

function writeTree(folder: string, files: Readonly<Record<string, string | Buffer>>): void {
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), content);
  }
}

/** What both make of a pull has to be the same: what is printed but for stream objects, and the commit stream. */
function pulledBy(program: string, repository: string, url: string, ref: string): { image: string; chunk: string } {
  const printed = succeed(program, ['--repo', repository, 'ostree', 'pull', url, ref]);
  const commit = /^commit {2}([0-9a-f]{64})$/m.exec(printed)![1]!;
  return {
    image: printed.replace(/^verity .*$/m, ''),
    chunk: succeed(program, ['--repo', repository, 'cat', `ostree-commit-${commit}`]),
  };
}

test('commits come over HTTP and by deltas as cfsctl brings them, and each program reads the other’s', {
  skip,
}, async (t) => {
  using folder = new SharedFolder();
  const { path, inside } = folder;
  const ostree = (...args: string[]): string => inTree('ostree', `--repo=${inside}/repo`, ...args).trim();
  const library = randomBytes(600_000);
  writeTree(join(path, 'one'), {
    'usr/bin/tool': 'tool',
    'usr/lib/library': library,
    'etc/empty': '',
    'etc/large': randomBytes(3 << 20),
  });
  symlinkSync('../bin/tool', join(path, 'one/usr/lib/link'));
  writeTree(join(path, 'two'), {
    'usr/bin/tool': 'another tool',
    'usr/lib/library': Buffer.concat([
      library.subarray(0, 300_000),
      Buffer.from('inserted'),
      library.subarray(300_000),
    ]),
    'etc/new': 'new'.repeat(100),
  });
  ostree('init', '--mode=archive');
  const one = ostree('commit', '--branch=app/one', `${inside}/one`);
  const two = ostree('commit', '--branch=app/one', `--parent=${one}`, `${inside}/two`);
  ostree('static-delta', 'generate', `--from=${one}`, `--to=${two}`);
  ostree('static-delta', 'generate', '--empty', `--to=${one}`);
  ostree('summary', '-u');
  const url = await startNginx(t, folder);
  const repositories = ['ours', 'theirs'].map((name) => join(path, name)) as [string, string];
  for (const repository of repositories) succeed(cfsctl, ['--repo', repository, 'init', '--insecure']);
  for (const ref of [one, 'app/one']) {
    const [ours, theirs] = [cfsbridge, cfsctl].map((program, i) => pulledBy(program, repositories[i]!, url, ref));
    assert.deepEqual(ours, theirs);
    assert.match(ours!.image, /via 1 delta parts/);
  }
  for (const repository of repositories) {
    const [ours, theirs] = [cfsbridge, cfsctl].map((program) =>
      succeed(program, ['--repo', repository, 'ostree', 'dump', 'app/one']),
    );
    assert.equal(ours, theirs);
    for (const program of [cfsctl, cfsbridge]) assert.equal(run(program, ['--repo', repository, 'fsck']).status, 0);
  }
  const rows = (program: string): string[] =>
    (
      succeed(program, ['--repo', repositories[0], 'ostree', 'list-refs', url]).match(/^.*[0-9a-f]{64}.*$/gm) ?? []
    ).sort();
  assert.deepEqual(rows(cfsbridge), rows(cfsctl));
  assert.equal(rows(cfsbridge).length, 1);
  const listed = succeed(cfsbridge, ['--repo', repositories[1], 'ostree', 'list-refs', '--json', url]);
  assert.deepEqual(JSON.parse(listed), [{ name: 'app/one', commit: two }]);
  for (const program of [cfsctl, cfsbridge]) {
    const missing = ['--repo', repositories[0], 'ostree', 'list-refs', `${url}/nothing`];
    assert.equal(run(program, missing).status, 1);
  }
  const objects = ['ours-objects', 'theirs-objects'].map((name) => join(path, name)) as [string, string];
  for (const repository of objects) succeed(cfsctl, ['--repo', repository, 'init', '--insecure']);
  const [ours, theirs] = [cfsbridge, cfsctl].map((program, i) => {
    const printed = succeed(program, ['--repo', objects[i]!, 'ostree', 'pull', '--no-delta', url, 'app/one']);
    return [
      printed.replace(/^verity .*$/m, ''),
      succeed(program, ['--repo', objects[i]!, 'cat', `ostree-commit-${two}`]),
    ];
  });
  assert.deepEqual(ours, theirs);
});
