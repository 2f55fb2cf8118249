// A rootless store that the real podman and buildah made, of files that belong to ids of their namespace.
import assert from 'node:assert/strict';
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, lstatSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import { cfsbridge } from '../support/cli/run-cli.js';
import { END, header, padded, type Fields } from '../support/layers/make-tar.js';
import { ROOTLESS, RootlessUser, whyNoRootlessUser, type Surroundings } from '../support/rootless-user.js';
import {
  inTree as inTreeOfRoot,
  run as runProgram,
  SharedFolder,
  storeName,
  succeed,
  whyNoPeers,
  whyNoStore,
  type Answer,
} from './peers.js';
import { assertSound, fixedNamesOf } from './repositories.js';
import { rootlessInTree } from './rootless-tree.js';
import { filesBelow } from './snapshot.js';

/** Nobody but root may look into these, or only other users. */
const ENTRIES: readonly (Fields & { name: string; content?: Buffer })[] = [
  { name: './', type: '5', mode: 0o755 },
  { name: 'etc/', type: '5', mode: 0o755 },
  { name: 'etc/shadow', mode: 0, gid: 42, content: Buffer.from('root:*\n') },
  { name: 'root/', type: '5', mode: 0o700 },
  { name: 'root/large', mode: 0o600, content: Buffer.alloc(300_000, 'r') },
  { name: 'home/', type: '5', mode: 0o700, uid: 1000, gid: 1000 },
  { name: 'home/large', mode: 0o600, uid: 1000, gid: 1000, content: Buffer.alloc(200_000, 'h') },
  { name: 'home/open', mode: 0o644, uid: 1000, gid: 1000, content: Buffer.alloc(100_000, 'o') },
  { name: 'sbin/', type: '5', mode: 0o755 },
  { name: 'sbin/sudo', mode: 0o4111, content: Buffer.alloc(50_000, 's') },
  { name: 'sbin/other', mode: 0o2750, uid: 65_000, gid: 65_000, content: Buffer.alloc(60_000, 'x') },
];

/** What of the user's surroundings decides how the namespace is had, and what is said then. */
const WAYS: readonly [how: string, surroundings: Surroundings, says: RegExp][] = [
  [
    'without podman',
    { env: { XDG_RUNTIME_DIR: '/nonexistent', NODE_DEBUG: 'cfsbridge' } },
    /user namespace: making one by \S+newuidmap/,
  ],
  ['beside podman', { env: { NODE_DEBUG: 'cfsbridge' } }, /user namespace: podman's pause process \d+: joined/],
];

describe("an ordinary user's store", { skip: whyNoPeers() || whyNoRootlessUser() }, () => {
  let shared: SharedFolder;
  let user: RootlessUser;
  before(() => {
    shared = new SharedFolder();
    chmodSync(shared.path, 0o755);
    user = new RootlessUser(shared.path);
    const context = join(user.home, 'context');
    mkdirSync(context);
    writeFileSync(join(context, 'layer.tar'), tarOf(ENTRIES));
    writeFileSync(join(context, 'Containerfile'), 'FROM scratch\nADD layer.tar /\n');
    inTree('buildah', 'bud', '--isolation', 'chroot', '-t', 'localhost/mapped:1', context);
    // It leaves its pause process.
    inTree('podman', 'images');
  });
  after(() => {
    process.kill(Number(readFileSync(join(user.runtime, 'libpod/tmp/pause.pid'), 'utf8')));
    user[Symbol.dispose]();
    shared[Symbol.dispose]();
  });

  for (const [how, surroundings, says] of WAYS) {
    test(`${how}: its owner pulls what root pulls`, () => compare('localhost/mapped:1', surroundings, says));

    test(`${how}: a whole system`, { skip: whyNoStore() }, () => {
      compare(systemOfTheirs(), surroundings, says);
    });

    test(`${how}: its owner serves it`, async () => {
      const socket = join(user.home, 'socket');
      await using _ = await Serving.start(user.command([cfsbridge, 'serve', '--socket', socket], surroundings));
      const { repository, pulled } = pull(['--socket', socket, 'localhost/mapped:1'], (command) =>
        user.command(command),
      );
      const expected = pullAsRoot('localhost/mapped:1');
      assert.deepEqual(pulled, expected.pulled);
      assert.deepEqual(fixedNamesOf(repository), fixedNamesOf(expected.repository));
    });
  }

  for (const [how, surroundings, says] of WAYS) {
    test(`${how}: its owner copies out of it into another one, which podman takes`, () => {
      const store = join(user.home, `copied-${made++}`);
      const said = succeedAsUser(['copy', 'containers-storage:localhost/mapped:1', placeOf(store)], surroundings);
      assert.match(said, says);
      judge(store);
    });

    test(`${how}: its owner pushes out of a repository into another one, which podman takes`, () => {
      const store = join(user.home, `pushed-${made++}`);
      const { repository } = pull(['containers-storage:localhost/mapped:1'], (command) => user.command(command));
      const push = ['--repo', repository, 'oci', 'push', 'it', placeOf(store)];
      assert.match(succeedAsUser(push, surroundings), says);
      // What is there is not written again.
      assert.match(succeedAsUser([...push, '--json'], surroundings), /"outcome": ?"reused"/);
      judge(store);
    });
  }

  test('podman runs what was copied into another store', { skip: whyNoStore() }, () => {
    const store = join(user.home, `run-${made++}`);
    succeedAsUser(['copy', `containers-storage:${systemOfTheirs()}`, placeOf(store)], {});
    const options = ['--rm', '--pull=never', '--network=none', '--cgroups=disabled'];
    const container = ['podman', '--root', store, '--runroot', `${store}.run`, 'run', ...options, 'localhost/copy:1'];
    assert.equal(inTree(...container, 'sh', '-c', 'id -u; stat -c "%u %g" /etc/shadow'), '0\n0 42\n');
  });

  /** The name of an image in the user's store that is one of root's. */
  function systemOfTheirs(): string {
    const name = 'localhost/base:latest';
    if (run(['podman', 'image', 'exists', name]).status !== 0) copyFromRoot('base', name);
    return name;
  }

  function placeOf(store: string): string {
    return `containers-storage:[overlay@${store}+${store}.run]localhost/copy:1`;
  }

  /** @returns all that it says */
  function succeedAsUser(args: readonly string[], surroundings: Surroundings): string {
    const [program = '', ...rest] = user.command([cfsbridge, ...args], surroundings);
    const { status, stdout, stderr } = spawnSync(program, rest, { encoding: 'utf8' });
    assert.equal(status, 0, stderr);
    return `${stdout}${stderr}`;
  }

  /** podman finds nothing wrong with a store, and in its image all that it finds in the one that it made itself. */
  function judge(store: string): void {
    const podman = ['podman', '--root', store, '--runroot', `${store}.run`];
    assert.equal(inTree(...podman, 'system', 'check'), '');
    assert.equal(listing(podman, 'localhost/copy:1'), listing(['podman'], 'localhost/mapped:1'));
    const saved = `${store}.oci`;
    inTree(...podman, 'save', '--quiet', '--uncompressed', '--format', 'oci-dir', '-o', saved, 'localhost/copy:1');
    for (const [diffId] of pullAsRoot('localhost/mapped:1').pulled.layers) {
      const blob = readFileSync(join(saved, 'blobs', diffId.replace(':', '/')));
      assert.equal(`sha256:${createHash('sha256').update(blob).digest('hex')}`, diffId);
    }
    inTree(...podman, 'rmi', 'localhost/copy:1');
    assert.equal(inTree(...podman, 'images', '--quiet'), '');
  }

  /** Everything in an image: its kind, mode, owners and size, and what is in it. */
  function listing(podman: readonly string[], name: string): string {
    const script =
      'name=$1; shift; mounted=$("$@" image mount "$name"); cd "$mounted"; ' +
      'stat -c "%f %u %g" .; find . -mindepth 1 -printf "%p %y %m %U %G %s %T@\\n" | sort; ' +
      'find . -type f | sort | xargs sha256sum; ' +
      'cd /; "$@" image umount "$name"';
    return inTree(...podman, 'unshare', 'sh', '-ec', script, 'sh', name, ...podman);
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
    const store = join(user.home, '.local/share/containers/storage');
    return pull([`containers-storage:[overlay@${store}]${name}`], (command) => user.asRoot(command));
  }

  function pull(image: readonly string[], as: (command: readonly string[]) => string[]): Pulled {
    const repository = join(user.home, `repository-${made++}`);
    const [init = '', ...toInit] = as([cfsbridge, 'init', '--insecure', repository]);
    succeed(init, toInit);
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
    inTree('skopeo', 'copy', '--insecure-policy', `dir:${folder}`, `containers-storage:${name}`);
  }

  function run(command: readonly string[]): Answer {
    const [program = '', ...args] = rootlessInTree(user, command);
    return runProgram(program, args);
  }

  function inTree(...command: string[]): string {
    const { status, stdout, stderr } = run(command);
    assert.equal(status, 0, `${command.join(' ')}: ${stdout}${stderr}`);
    return stdout;
  }
});

/** What a pull came to. */
interface Pulled {
  repository: string;
  pulled: { layers: [diffId: string, stream: string][] };
  said: string;
}

let made = 0;

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

function tarOf(entries: typeof ENTRIES): Buffer {
  return Buffer.concat([
    ...entries.flatMap(({ content, ...fields }) => [
      header({ ...fields, size: content?.length ?? 0 }),
      ...(content ? [padded(content)] : []),
    ]),
    END,
  ]);
}
