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
import type { Directory, Node } from '../../../src/tree/tree.js';
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

/** The tree of a commit of an ostree repository. */
async function treeOf(t: TestContext, folder: string, ref: string): Promise<Directory> {
  const path = scratch(t);
  initRepository(path, { insecure: true });
  using repository = await Repository.open(path, { write: true });
  using source = OstreeFolder.open(folder);
  const id = source.resolve(ref);
  await pullCommit(repository, folderSource(source, { take: 'copy', trusted: true }), id);
  return commitTree((await readCommit(repository, id)).objects);
}

test('a container image is exported with /usr/etc, and without what belongs to the running system', async (t) => {
  const content = { 'etc/passwd': 'root', 'usr/bin/tool': 'x'.repeat(500), 'run/lock': 'a', 'tmp/b': 'c', 'dev/d': '' };
  const { status, stdout, stderr, target } = exported(t, content);
  assert.equal(status, 0, stderr);
  const [, id = ''] = /^commit  ([0-9a-f]{64})\ntagged  web\/stable\n$/.exec(stdout) ?? [];
  assert.equal(readFileSync(join(target, 'refs/heads/web/stable'), 'latin1'), `${id}\n`);
  const root = await treeOf(t, target, id);
  assert.deepEqual(files(root).sort(), ['/usr/bin/tool', '/usr/etc/passwd']);
  for (const name of ['run', 'tmp', 'dev']) assert.equal(root.entries.get(name)?.kind, 'directory', name);
});

test('the labels of the image’s own policy are in the commit, those of /etc in /usr/etc', async (t) => {
  const policy = [
    '/.* system_u:object_r:default_t:s0',
    '/etc(/.*)? system_u:object_r:etc_t:s0',
    '/usr/bin/.* -- <<none>>',
  ];
  const { status, stderr, target } = exported(t, {
    'etc/selinux/config': 'SELINUX=enforcing\nSELINUXTYPE=targeted\n',
    'etc/selinux/targeted/contexts/files/file_contexts': `${policy.join('\n')}\n`,
    'etc/passwd': 'root',
    'usr/bin/tool': 'x'.repeat(500),
  });
  assert.equal(status, 0, stderr);
  const root = await treeOf(t, target, 'web/stable');
  const label = (...path: string[]): string | undefined => {
    let node: Node | undefined = root;
    for (const name of path) node = node?.kind === 'directory' ? node.entries.get(name) : undefined;
    return node?.xattrs.get('security.selinux\0');
  };
  assert.equal(label('usr', 'etc', 'passwd'), 'system_u:object_r:etc_t:s0\0');
  assert.equal(label('usr', 'etc'), 'system_u:object_r:etc_t:s0\0');
  assert.equal(label('usr'), 'system_u:object_r:default_t:s0\0');
  assert.equal(label('usr', 'bin', 'tool'), undefined);
});

test('an image that has /etc and /usr/etc is refused', (t) => {
  const { status, stderr } = exported(t, { 'etc/passwd': 'root', 'usr/etc/passwd': 'root' });
  assert.notEqual(status, 0);
  assert.match(stderr, /both \/etc and \/usr\/etc/);
});
