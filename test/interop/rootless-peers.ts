// An ordinary user, whose podman has made a store of files that belong to ids of the user's namespace.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cfsbridge } from '../support/cli/run-cli.js';
import { END, header, padded, type Fields } from '../support/layers/make-tar.js';
import { RootlessUser, type Surroundings } from '../support/rootless-user.js';
import { run, SharedFolder, succeed, type Answer } from './peers.js';
import { rootlessInTree } from './rootless-tree.js';

/** The image in the user's store. */
export const MAPPED = 'localhost/mapped:1';

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
export const WAYS: readonly [how: string, surroundings: Surroundings, says: RegExp][] = [
  [
    'without podman',
    { env: { XDG_RUNTIME_DIR: '/nonexistent', NODE_DEBUG: 'cfsbridge' } },
    /user namespace: making one by \S+newuidmap/,
  ],
  ['beside podman', { env: { NODE_DEBUG: 'cfsbridge' } }, /user namespace: podman's pause process \d+: joined/],
];

/** The user, and what is in the user's home, until disposed. */
export class RootlessPeers implements Disposable {
  readonly user: RootlessUser;
  readonly #shared = new SharedFolder();
  #made = 0;

  constructor() {
    chmodSync(this.#shared.path, 0o755);
    this.user = new RootlessUser(this.#shared.path);
    writeFileSync(join(this.context('mapped', 'FROM scratch\nADD layer.tar /\n'), 'layer.tar'), tarOf(ENTRIES));
    this.build('mapped', MAPPED);
    // It leaves its pause process.
    this.inTree('podman', 'images');
  }

  /** The user's own store. */
  get graphroot(): string {
    return join(this.user.home, '.local/share/containers/storage');
  }

  /** A folder that an image is built from. */
  context(name: string, containerfile: string): string {
    const context = join(this.user.home, name);
    mkdirSync(context);
    writeFileSync(join(context, 'Containerfile'), containerfile);
    return context;
  }

  build(context: string, name: string, ...options: string[]): void {
    this.inTree('buildah', 'bud', '--isolation', 'chroot', ...options, '-t', name, join(this.user.home, context));
  }

  /** A path in the user's home that nothing else has. */
  newPath(name: string): string {
    return join(this.user.home, `${name}-${this.#made++}`);
  }

  /** A repository of the user's. @param as runs a command as whoever it belongs to */
  newRepository(as = (command: readonly string[]): string[] => this.user.command(command)): string {
    const path = this.newPath('repository');
    const [init = '', ...args] = as([cfsbridge, 'init', '--insecure', path]);
    succeed(init, args);
    return path;
  }

  /** Runs our command as the user. */
  cfsbridge(args: readonly string[], surroundings: Surroundings = {}): Answer {
    const [program = '', ...rest] = this.user.command([cfsbridge, ...args], surroundings);
    return spawnSync(program, rest, { encoding: 'utf8' });
  }

  /** The same, which has to succeed. */
  succeed(args: readonly string[], surroundings: Surroundings = {}): Answer {
    const answer = this.cfsbridge(args, surroundings);
    assert.equal(answer.status, 0, answer.stderr);
    return answer;
  }

  /** Runs a program of the Debian tree as the user. */
  run(...command: string[]): Answer {
    const [program = '', ...args] = rootlessInTree(this.user, command);
    return run(program, args);
  }

  /** The same for one that has to succeed. @returns what it prints */
  inTree(...command: string[]): string {
    const { status, stdout, stderr } = this.run(...command);
    assert.equal(status, 0, `${command.join(' ')}: ${stdout}${stderr}`);
    return stdout;
  }

  /**
   * Everything in an image: its kind, mode, owners and size, and what is in it.
   * @param podman the beginning of the command line that knows the store
   */
  listing(podman: readonly string[], name: string): string {
    const script =
      'name=$1; shift; mounted=$("$@" image mount "$name"); cd "$mounted"; ' +
      'stat -c "%f %u %g" .; find . -mindepth 1 -printf "%p %y %m %U %G %s %T@\\n" | sort; ' +
      'find . -type f | sort | xargs sha256sum; ' +
      'cd /; "$@" image umount "$name"';
    return this.inTree(...podman, 'unshare', 'sh', '-ec', script, 'sh', name, ...podman);
  }

  [Symbol.dispose](): void {
    process.kill(Number(readFileSync(join(this.user.runtime, 'libpod/tmp/pause.pid'), 'utf8')));
    this.user[Symbol.dispose]();
    this.#shared[Symbol.dispose]();
  }
}

/** How references name a store of the user's, without an image. */
export function placeOf(graphroot: string): string {
  return `containers-storage:[overlay@${graphroot}+${graphroot}.run]`;
}

/** The beginning of a command line of podman for such a store. */
export function podmanOn(graphroot: string): string[] {
  return ['podman', '--root', graphroot, '--runroot', `${graphroot}.run`];
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
