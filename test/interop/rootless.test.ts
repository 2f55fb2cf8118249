// A rootless store that the real podman and buildah made, of files that belong to ids of their namespace.
import assert from 'node:assert/strict';
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { lstatSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import { cfsbridge } from '../support/cli/run-cli.js';
import { ROOTLESS, whyNoRootlessUser, type RootlessUser, type Surroundings } from '../support/rootless-user.js';
import { inTree as inTreeOfRoot, storeName, whyNoPeers, whyNoStore } from './peers.js';
import { assertSound, fixedNamesOf } from './repositories.js';
import { MAPPED, placeOf, podmanOn, RootlessPeers, WAYS } from './rootless-peers.js';
import { filesBelow } from './snapshot.js';

describe("an ordinary user's store", { skip: whyNoPeers() || whyNoRootlessUser() }, () => {
  let peer: RootlessPeers;
  let user: RootlessUser;
  before(() => {
    peer = new RootlessPeers();
    ({ user } = peer);
  });
  after(() => peer[Symbol.dispose]());

  for (const [how, surroundings, says] of WAYS) {
    test(`${how}: its owner pulls what root pulls`, () => compare(MAPPED, surroundings, says));

    test(`${how}: a whole system`, { skip: whyNoStore() }, () => {
      compare(systemOfTheirs(), surroundings, says);
    });

    test(`${how}: its owner serves it`, async () => {
      const socket = join(user.home, 'socket');
      await using _ = await Serving.start(user.command([cfsbridge, 'serve', '--socket', socket], surroundings));
      const { repository, pulled } = pull(['--socket', socket, MAPPED], (command) => user.command(command));
      const expected = pullAsRoot(MAPPED);
      assert.deepEqual(pulled, expected.pulled);
      assert.deepEqual(fixedNamesOf(repository), fixedNamesOf(expected.repository));
    });
  }

  for (const [how, surroundings, says] of WAYS) {
    test(`${how}: its owner copies out of it into another one, which podman takes`, () => {
      const store = peer.newPath('copied');
      const said = succeedAsUser(
        ['copy', `containers-storage:${MAPPED}`, `${placeOf(store)}localhost/copy:1`],
        surroundings,
      );
      assert.match(said, says);
      judge(store);
    });

    test(`${how}: its owner pushes out of a repository into another one, which podman takes`, () => {
      const store = peer.newPath('pushed');
      const { repository } = pull([`containers-storage:${MAPPED}`], (command) => user.command(command));
      const push = ['--repo', repository, 'oci', 'push', 'it', `${placeOf(store)}localhost/copy:1`];
      assert.match(succeedAsUser(push, surroundings), says);
      // What is there is not written again.
      assert.match(succeedAsUser([...push, '--json'], surroundings), /"outcome": ?"reused"/);
      judge(store);
    });
  }

  test('podman runs what was copied into another store', { skip: whyNoStore() }, () => {
    const store = peer.newPath('run');
    succeedAsUser(['copy', `containers-storage:${systemOfTheirs()}`, `${placeOf(store)}localhost/copy:1`], {});
    const options = ['--rm', '--pull=never', '--network=none', '--cgroups=disabled'];
    const container = [...podmanOn(store), 'run', ...options, 'localhost/copy:1'];
    assert.equal(peer.inTree(...container, 'sh', '-c', 'id -u; stat -c "%u %g" /etc/shadow'), '0\n0 42\n');
  });

  /** The name of an image in the user's store that is one of root's. */
  function systemOfTheirs(): string {
    const name = 'localhost/base:latest';
    if (peer.run('podman', 'image', 'exists', name).status !== 0) copyFromRoot('base', name);
    return name;
  }

  /** @returns all that it says */
  function succeedAsUser(args: readonly string[], surroundings: Surroundings): string {
    const { stdout, stderr } = peer.succeed(args, surroundings);
    return `${stdout}${stderr}`;
  }

  /** podman finds nothing wrong with a store, and in its image all that it finds in the one that it made itself. */
  function judge(store: string): void {
    const podman = podmanOn(store);
    assert.equal(peer.inTree(...podman, 'system', 'check'), '');
    assert.equal(peer.listing(podman, 'localhost/copy:1'), peer.listing(['podman'], MAPPED));
    const saved = `${store}.oci`;
    peer.inTree(...podman, 'save', '--quiet', '--uncompressed', '--format', 'oci-dir', '-o', saved, 'localhost/copy:1');
    for (const [diffId] of pullAsRoot(MAPPED).pulled.layers) {
      const blob = readFileSync(join(saved, 'blobs', diffId.replace(':', '/')));
      assert.equal(`sha256:${createHash('sha256').update(blob).digest('hex')}`, diffId);
    }
    peer.inTree(...podman, 'rmi', 'localhost/copy:1');
    assert.equal(peer.inTree(...podman, 'images', '--quiet'), '');
  }

  function compare(name: string, surroundings: Surroundings, says: RegExp): void {
    const { repository, pulled, said } = pull([`containers-storage:${name}`], (command) =>
      user.command(command, surroundings),
    );
    assert.match(said, says);
    const expected = pullAsRoot(name);
    assert.deepEqual(pulled, expected.pulled);
    assert.deepEqual(fixedNamesOf(repository), fixedNamesOf(expected.repository));
    const owners = new Set(filesBelow(repository).map((path) => lstatSync(join(repository, path)).uid));
    assert.deepEqual(
      [...owners].filter((uid) => uid !== ROOTLESS),
      [],
    );
    assertSound(repository);
  }

  /** Root reads the store of a user who has these ids. */
  function pullAsRoot(name: string): Pulled {
    return pull([`containers-storage:[overlay@${peer.graphroot}]${name}`], (command) => user.asRoot(command));
  }

  function pull(image: readonly string[], as: (command: readonly string[]) => string[]): Pulled {
    const repository = peer.newRepository(as);
    const [program = '', ...args] = as([cfsbridge, '--repo', repository, 'oci', 'pull', '--json', ...image, 'it']);
    const { status, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8' });
    assert.equal(status, 0, stderr);
    const { layers, ...pulled } = JSON.parse(stdout) as { layers: { diff_id: string; stream: string }[] };
    return {
      repository,
      pulled: { ...pulled, layers: layers.map(({ diff_id, stream }) => [diff_id, stream]) },
      said: stderr,
    };
  }

  function copyFromRoot(image: string, name: string): void {
    const folder = join(user.home, image);
    const store = `[overlay@/share/${storeName}+/share/${storeName}.run]`;
    inTreeOfRoot(
      'skopeo',
      'copy',
      '--dest-decompress',
      `containers-storage:${store}localhost/${image}:latest`,
      `dir:${folder}`,
    );
    peer.inTree('skopeo', 'copy', '--insecure-policy', `dir:${folder}`, `containers-storage:${name}`);
  }
});

/** What a pull came to. */
interface Pulled {
  repository: string;
  pulled: { layers: [diffId: string, stream: string][] };
  said: string;
}

/** A server that was started, until disposed. */
class Serving implements AsyncDisposable {
  readonly #process: ChildProcess;

  private constructor(process: ChildProcess) {
    this.#process = process;
  }

  static async start([program = '', ...args]: readonly string[]): Promise<Serving> {
    const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'] });
    for await (const line of createInterface({ input: child.stderr })) if (line.startsWith('serving ')) break;
    return new Serving(child);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const exit = once(this.#process, 'exit');
    this.#process.kill();
    await exit;
  }
}
