import { execFileSync } from 'node:child_process';
import { constants } from 'node:fs';
import { join } from 'node:path';
import { listTree, type Shown } from '../support/list-tree.js';
import { inPeers, peers } from './peers.js';

// store-trees.program.js TREE STORE OTHER IMAGE...: run in a mount namespace of its own. Mounts images of the stores
// STORE and OTHER (as they are called in the tree) by the podman of a tree, and prints as JSON where what they show differs.

const [, , tree = '', one = '', other = '', ...images] = process.argv;

function podman(store: string, ...args: string[]): string {
  const options = ['--root', store, '--runroot', `${store}.run`, '--storage-driver', 'overlay'];
  return execFileSync(inPeers, ['podman', ...options, 'image', ...args], {
    encoding: 'utf8',
    env: { ...process.env, CFSBRIDGE_PEERS: peers, CFSBRIDGE_TREE: tree },
    stdio: ['ignore', 'pipe', 'ignore'],
    timeout: 100_000,
  }).trim();
}

function shownBy(store: string, image: string): Map<string, Shown> {
  try {
    return listTree(join(peers, tree, podman(store, 'mount', image)));
  } finally {
    podman(store, 'unmount', image);
  }
}

/** Sorted, and without the time of a folder. */
function print(shown: Shown | undefined): string {
  if (shown === undefined) return 'nothing';
  const { xattrs, mtime, ...rest } = shown;
  const sorted = Object.entries(xattrs).sort(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify({ ...rest, xattrs: sorted, ...(isFolder(shown) ? {} : { mtime: `${mtime}` }) });
}

const isFolder = ({ mode }: Shown): boolean => (Number.parseInt(mode, 8) & constants.S_IFMT) === constants.S_IFDIR;

const found = images.map((image) => {
  const [ours, theirs] = [shownBy(one, image), shownBy(other, image)];
  const paths = [...new Set([...ours.keys(), ...theirs.keys()])];
  const differences = paths
    .filter((path) => print(ours.get(path)) !== print(theirs.get(path)))
    .map((path) => `${path}: ${print(ours.get(path))}, in ${other} ${print(theirs.get(path))}`);
  const undated = paths.filter((path) => ours.get(path)?.mtime !== theirs.get(path)?.mtime);
  return [image, { names: ours.size, differences, undated }] as const;
});
process.stdout.write(JSON.stringify(Object.fromEntries(found)));
