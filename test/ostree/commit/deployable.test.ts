// Container images as commits that ostree deploys.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { commitTree } from '../../../src/ostree/image/tree.js';
import { OstreeFolder } from '../../../src/ostree/local/repository.js';
import { folderSource } from '../../../src/ostree/local/source.js';
import { pullCommit } from '../../../src/ostree/pull/pull.js';
import { readCommit } from '../../../src/ostree/stream/read-commit.js';
import { initRepository } from '../../../src/repository/init.js';
import { Repository } from '../../../src/repository/repository.js';
import type { Directory } from '../../../src/tree/tree.js';
import { runCli } from '../../support/cli/run-cli.js';
import { writeLayout } from '../../support/images/oci-layout.js';
import { systemTar } from '../../support/layers/system-tar.js';
import { scratch } from '../../support/scratch.js';

function emptyFolder(t: TestContext): string {
  const folder = scratch(t, { config: '[core]\nrepo_version=1\nmode=bare-user\n' });
  for (const name of ['objects', 'tmp', 'refs/heads']) mkdirSync(join(folder, name), { recursive: true });
  return folder;
}

function exported(t: TestContext, files: Readonly<Record<string, string>>) {
  const [path, layout, target] = [scratch(t), scratch(t), emptyFolder(t)];
  initRepository(path, { insecure: true });
  writeLayout(layout, [systemTar(files)]);
  const pulled = runCli(['--repo', path, 'oci', 'pull', `oci:${layout}:image`, 'web']);
  assert.equal(pulled.status, 0, pulled.stderr);
  const words = ['--oci', 'web', target, '--reference', 'web/stable', '--timestamp', '1000'];
  return { ...runCli(['--repo', path, 'ostree', 'export', ...words]), target };
}

function files({ entries }: Directory, path = ''): string[] {
  return [...entries].flatMap(([name, node]) =>
    node.kind === 'directory' ? files(node, `${path}/${name}`) : [`${path}/${name}`],
  );
}

test('a container image is exported with /usr/etc, and without what belongs to the running system', async (t) => {
  const content = { 'etc/passwd': 'root', 'usr/bin/tool': 'x'.repeat(500), 'run/lock': 'a', 'tmp/b': 'c', 'dev/d': '' };
  const { status, stdout, stderr, target } = exported(t, content);
  assert.equal(status, 0, stderr);
  const [, id = ''] = /^commit  ([0-9a-f]{64})\ntagged  web\/stable\n$/.exec(stdout) ?? [];
  assert.equal(readFileSync(join(target, 'refs/heads/web/stable'), 'latin1'), `${id}\n`);
  const path = scratch(t);
  initRepository(path, { insecure: true });
  using repository = await Repository.open(path, { write: true });
  using source = OstreeFolder.open(target);
  await pullCommit(repository, folderSource(source, { take: 'copy', trusted: true }), id);
  const root = commitTree((await readCommit(repository, id)).objects);
  assert.deepEqual(files(root).sort(), ['/usr/bin/tool', '/usr/etc/passwd']);
  for (const name of ['run', 'tmp', 'dev']) assert.equal(root.entries.get(name)?.kind, 'directory', name);
});

test('an image that has /etc and /usr/etc is refused', (t) => {
  const { status, stderr } = exported(t, { 'etc/passwd': 'root', 'usr/etc/passwd': 'root' });
  assert.notEqual(status, 0);
  assert.match(stderr, /both \/etc and \/usr\/etc/);
});
