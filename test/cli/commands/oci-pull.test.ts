import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { TemporaryFolder } from '../../support/filesystems.js';
import { fixtureJson } from '../../support/fixtures.js';
import { unpackSmallStore, type SmallStore } from '../../support/images/small-store.js';
import { cfsbridge, runCli } from '../../support/cli/run-cli.js';

interface Results {
  results: { sha512: { erofs_versions: { '1': { pull_stdout: string[]; compute_id: string } } } };
}
const known = fixtureJson<Results>('cstor-small/images/alpha_v1/results.json').results.sha512.erofs_versions['1'];
/** Everything but the tag and the counts, which depend on how objects got there. */
const digests = known.pull_stdout.filter((line) => /^(manifest|config|verity) /.test(line));

let store: SmallStore;
let folder: TemporaryFolder;
before(() => {
  store = unpackSmallStore();
  folder = new TemporaryFolder();
});
after(() => {
  store.remove();
  folder[Symbol.dispose]();
});

function newRepository(name: string): (...args: string[]) => ReturnType<typeof runCli> {
  const path = join(folder.path, name);
  assert.equal(runCli(['init', '--insecure', path]).status, 0);
  return (...args) =>
    runCli(['--repo', path, ...args], { env: { ...process.env, CONTAINERS_STORAGE_ROOT: store.graphroot } });
}

test('oci pull prints the digests that cfsctl prints, and talks on standard error only', () => {
  const repository = newRepository('direct');
  const { status, stdout, stderr } = repository('oci', 'pull', 'containers-storage:localhost/alpha:v1', 'web');
  assert.equal(status, 0, stderr);
  const printed = stdout.split('\n');
  assert.deepEqual(printed.slice(0, 3), digests);
  assert.equal(printed[3], 'tagged   web');
  assert.match(printed[4] ?? '', /^objects {2}.*already present objects; .*, [\d.]+ KiB inlined$/);
  assert.match(stderr, /^layer sha256:c27b4967c689 137 entries, 1.24 MiB, verified\nimage 5b5ae523a374/);
  assert.equal(repository('oci', 'compute-id', 'web').stdout, `${known.compute_id}\n`);
});

test('oci pull without a name tags with the reference, and fails for what is not there', () => {
  const repository = newRepository('named');
  assert.match(
    repository('oci', 'pull', 'containers-storage:localhost/alpha:v1').stdout,
    /^tagged {3}containers-storage:localhost\/alpha:v1$/m,
  );
  const { status, stdout, stderr } = repository('oci', 'pull', 'containers-storage:localhost/nothing:v1');
  assert.deepEqual([status, stdout], [1, '']);
  assert.match(stderr, /^Error: .*localhost\/nothing:v1/);
});

test('serve hands out a store until it is told to stop, and leaves no socket behind', async () => {
  const address = join(folder.path, 'serve.sock');
  const server = spawn(cfsbridge, ['serve', '--socket', address, '--root', store.graphroot]);
  const ended = once(server, 'exit');
  await once(server.stderr, 'data');
  const { status, stdout, stderr } = newRepository('socket')(
    'oci',
    'pull',
    '--socket',
    address,
    'localhost/alpha:v1',
    'web',
  );
  assert.equal(status, 0, stderr);
  assert.deepEqual(stdout.split('\n').slice(0, 3), digests);
  server.kill('SIGTERM');
  assert.deepEqual(await ended, [0, null]);
  assert.equal(existsSync(address), false);
});

test('serve without a socket is a wrong usage', () => {
  const { status, stderr } = runCli(['serve', '--root', store.graphroot]);
  assert.equal(status, 2);
  assert.match(stderr, /^error: serve needs --socket/);
});

for (const [signal, status] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const)
  test(`${signal} ends a pull that waits for a silent server, with status ${status}`, async () => {
    const address = join(folder.path, `silent-${signal}.sock`);
    const path = join(folder.path, `interrupted-${signal}`);
    newRepository(`interrupted-${signal}`);
    const silent = createServer().listen(address);
    await once(silent, 'listening');
    try {
      const connected = once(silent, 'connection');
      const pull = spawn(cfsbridge, ['--repo', path, 'oci', 'pull', '--socket', address, 'image']);
      const ended = once(pull, 'exit');
      await connected;
      pull.kill(signal);
      assert.deepEqual(await ended, [status, null]);
    } finally {
      silent.close();
    }
  });
