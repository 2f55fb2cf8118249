// Images of a daemon as podman has one for programs that want docker's.
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { runCli } from '../support/cli/run-cli.js';
import { unpackSmallStore, type SmallStore } from '../support/images/small-store.js';
import { inPeers, peers, runInPeers, SharedFolder, whyNoPeers } from './peers.js';
import { makeRepository } from './repositories.js';

describe('podman system service', { skip: whyNoPeers() }, () => {
  let folder: SharedFolder;
  let store: SmallStore;
  let where: string[];
  let child: ChildProcess;
  let env: NodeJS.ProcessEnv;

  before(async () => {
    folder = new SharedFolder();
    store = unpackSmallStore(folder.path);
    const graphroot = store.graphroot.replace(folder.path, folder.inside);
    where = ['podman', '--storage-driver', 'overlay', '--root', graphroot, '--runroot', `${folder.inside}/run`];
    // A pipe would fill, for nobody reads while this process waits for another program.
    const log = join(folder.path, 'log');
    const output = openSync(log, 'w');
    const command = [...where, 'system', 'service', '--time=0', `unix://${folder.inside}/podman.sock`];
    child = spawn(inPeers, command, {
      env: { ...process.env, CFSBRIDGE_PEERS: peers },
      stdio: ['ignore', output, output],
    });
    closeSync(output);
    const socket = join(folder.path, 'podman.sock');
    for (let tries = 0; !existsSync(socket); tries++) {
      assert.ok(tries < 600 && child.exitCode === null, `podman does not start: ${readFileSync(log, 'utf8')}`);
      await sleep(50);
    }
    env = { ...process.env, DOCKER_HOST: `unix://${socket}` };
  });
  after(async () => {
    child.kill();
    if (child.exitCode === null && child.signalCode === null) await once(child, 'close');
    store.remove();
    folder[Symbol.dispose]();
  });

  let count = 0;
  /** manifest, config, verity and tag, as they are printed, and the id of the tree */
  function pulled(reference: string): string[] {
    const repository = makeRepository(join(folder.path, `repository-${count++}`), 'sha256');
    const { status, stdout, stderr } = runCli(['--repo', repository, 'oci', 'pull', reference, 'it'], { env });
    assert.equal(status, 0, stderr);
    const tree = runCli(['--repo', repository, 'oci', 'compute-id', 'it']);
    assert.equal(tree.status, 0, tree.stderr);
    return [...stdout.split('\n').slice(0, 4), tree.stdout];
  }
  const inTree = (...command: string[]): string => {
    const { status, stdout, stderr } = runInPeers(...command);
    assert.equal(status, 0, stderr);
    return stdout.trim();
  };

  for (const name of ['localhost/alpha:v3', 'localhost/beta:docker', 'localhost/zeta:twice'])
    test(`${name} is what podman saves, by name and by id`, () => {
      const file = `${name.replace(/\W/g, '-')}.tar`;
      inTree(...where, 'save', '-q', '--format', 'docker-archive', '-o', `${folder.inside}/${file}`, name);
      const saved = pulled(`docker-archive:${join(folder.path, file)}`);
      assert.deepEqual(pulled(`docker-daemon:${name}`), saved);
      const id = inTree(...where, 'image', 'inspect', '--format', '{{.Id}}', name);
      assert.deepEqual(pulled(`docker-daemon:sha256:${id}`), saved);
      assert.ok(saved[1]?.includes(id), `${saved[1]} is not the config ${id}`);
    });

  test('skopeo takes the same config and tree from there', () => {
    inTree(
      ...['skopeo', '--insecure-policy', 'copy', '-q', '--src-daemon-host', `unix://${folder.inside}/podman.sock`],
      ...['docker-daemon:localhost/alpha:v3', `oci:${folder.inside}/by-skopeo:it`],
    );
    const [, config, , , tree] = pulled(`oci:${join(folder.path, 'by-skopeo')}:it`);
    const ours = pulled('docker-daemon:localhost/alpha:v3');
    assert.deepEqual([ours[1], ours[4]], [config, tree]);
  });

  test('what is not there is said in podman’s words', () => {
    const repository = makeRepository(join(folder.path, `repository-${count++}`), 'sha256');
    for (const image of ['nothing:1', `sha256:${'0'.repeat(64)}`]) {
      const { status, stderr } = runCli(['--repo', repository, 'oci', 'pull', `docker-daemon:${image}`], { env });
      assert.equal(status, 1);
      assert.match(stderr, /podman\.sock has no image ".*": .*image not known \(status 404\)/);
    }
  });
});
