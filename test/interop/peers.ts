import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Where `scripts/peers.sh` put the real programs. */
export const peers = process.env['CFSBRIDGE_PEERS'] ?? '/var/tmp/peers';
export const cfsctl = join(peers, 'bin/cfsctl');
export const inPeers = fileURLToPath(new URL('../../../scripts/in-peers.sh', import.meta.url));

/** The store that `scripts/mkstore.sh` made, below `share`, and its images. */
export const storeName = process.env['CFSBRIDGE_STORE'] ?? 'store';
export const graphroot = join(peers, 'share', storeName);
export const storeImages = ['base', 'mid', 'many', 'big'] as const;
export type StoreImage = (typeof storeImages)[number];

/** Why tests with cfsctl and the programs of the Debian tree cannot run, or false. */
export function whyNoPeers(): string | false {
  if (!existsSync(cfsctl) || !existsSync(join(peers, 'sid/usr/bin/buildah')))
    return 'the real programs are not there; scripts/peers.sh installs them';
  return process.getuid?.() === 0 ? false : 'the real programs need root';
}

/** Why tests with the real store cannot run, or false. */
export function whyNoStore(): string | false {
  return whyNoPeers() || (existsSync(graphroot) ? false : 'there is no real store; scripts/mkstore.sh makes it');
}

/** A new folder on the filesystem of the store, which programs in the Debian tree see below /share. */
export class SharedFolder implements Disposable {
  readonly path = mkdtempSync(join(peers, 'share/interop-'));
  /** the same inside the tree */
  readonly inside = `/share/${basename(this.path)}`;
  /** the same through the mount that the tree has, which is where its programs put theirs */
  readonly mounted = join(peers, 'sid', this.inside);

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

/** Milliseconds; a program that hangs is a failure, not the end of all tests. */
const LONGEST_RUN = 180_000;

/** How a program ended and what it printed, as bytes. */
export interface Answer {
  /** null after a signal */
  status: number | null;
  stdout: string;
  stderr: string;
}

/** Runs a program; its output is bytes. */
export function run(program: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Answer {
  return spawnSync(program, args, {
    encoding: 'latin1',
    env: { ...process.env, RUST_BACKTRACE: '0', ...env },
    maxBuffer: 256 << 20,
    timeout: LONGEST_RUN,
  });
}

/** Runs a program that has to succeed. @returns its output as bytes */
export function succeed(program: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): string {
  const { status, stdout, stderr } = run(program, args, env);
  assert.equal(status, 0, `${program} ${args.join(' ')}: ${stderr}`);
  return stdout;
}

/**
 * Runs a program of the Debian tree in a mount namespace of its own, in which the tree's root is a mount, as unpacking
 * layers wants it. What the program mounts is gone when it ends.
 */
export function runInPeers(...command: string[]): Answer {
  const [program, ...args] = peerCommand('sid', command);
  return run(program!, args);
}

/**
 * The command line for that. The folder that both sides see is in the tree by its own path, too.
 * @param tree one of those that `scripts/peers.sh` makes
 */
export function peerCommand(tree: string, command: readonly string[]): string[] {
  const script =
    'tree=$1; share=$2; shift 2; mount --rbind "$tree" "$tree"; ' +
    'mkdir -p "$tree$share"; mount --bind "$share" "$tree$share"; exec "$@"';
  return [
    'env',
    `CFSBRIDGE_PEERS=${peers}`,
    `CFSBRIDGE_TREE=${tree}`,
    'unshare',
    '--mount',
    '--propagation',
    'private',
    'sh',
    '-ec',
    script,
    'sh',
    join(peers, tree),
    join(peers, 'share'),
    inPeers,
    ...command,
  ];
}

/** The same for one that has to succeed. @returns its output as bytes */
export function inTree(...command: string[]): string {
  const { status, stdout, stderr } = runInPeers(...command);
  assert.equal(status, 0, `${command.join(' ')}: ${stderr}`);
  return stdout;
}

/** SHA-256 of what a program prints, however long that is. */
export function hashOfOutput(program: string, args: readonly string[]): string {
  const command = ['-o', 'pipefail', '-c', '"$@" | sha256sum', 'sh', program, ...args];
  return `sha256:${execFileSync('bash', command, { encoding: 'latin1' }).slice(0, 64)}`;
}
