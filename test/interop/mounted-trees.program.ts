import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { listTree, type Shown } from '../support/list-tree.js';
import { cfsctl, inPeers, peers, storeName } from './peers.js';
import { cfsbridge } from '../support/cli/run-cli.js';

// mounted-trees.program.js FOLDER REPOSITORY IMAGE EROFS: run in a mount namespace of its own; mounts an image by
// podman and four times by composefs, and prints as JSON where the latter show something other than podman's mount.
//   FOLDER in <peers>/share, holds REPOSITORY

const [, , folder = '', repository = '', image = '', erofs = ''] = process.argv;
const inside = `/share/${basename(folder)}`;
const objects = `${inside}/${basename(repository)}/objects`;

function mountpoint(name: string): string {
  const path = join(folder, `${image}-${name}`);
  mkdirSync(path, { recursive: true });
  return path;
}

const podman = [
  'podman',
  '--root',
  `/share/${storeName}`,
  '--runroot',
  `/share/${storeName}.run`,
  '--storage-driver',
  'overlay',
];
const shown = execFileSync(inPeers, [...podman, 'image', 'mount', image], {
  encoding: 'utf8',
  stdio: ['ignore', 'pipe', 'ignore'],
  timeout: 100_000,
}).trim();
const expected = expectedTree(listTree(join(peers, 'sid', shown)));

const mounts: Record<string, () => string> = {
  'mount.composefs': () => {
    const path = mountpoint('c');
    const file = `${objects}/${erofs.slice(0, 2)}/${erofs.slice(2)}`;
    execFileSync(inPeers, ['mount.composefs', '-o', `basedir=${objects}`, file, `${inside}/${basename(path)}`]);
    return join(peers, 'sid', inside, basename(path));
  },
  cfsbridge: () => mounted(cfsbridge, 'mount', erofs, mountpoint('ours')),
  'cfsbridge oci': () => mounted(cfsbridge, 'oci', 'mount', image, mountpoint('ours-oci')),
  cfsctl: () => mounted(cfsctl, 'oci', 'mount', image, mountpoint('theirs')),
};

function mounted(program: string, ...args: string[]): string {
  execFileSync(program, ['--repo', repository, ...args]);
  return args.at(-1) as string;
}

/**
 * What an image shows by the rules for OCI: the root is like /usr, /run is empty and has its time, and one kind of
 * xattr stays.
 */
function expectedTree(all: Map<string, Shown>): Map<string, Shown> {
  const usr = all.get('/usr') as Shown;
  const tree = new Map([...all].filter(([path]) => !path.startsWith('/run/')));
  tree.set('', { ...usr, sameAs: '' });
  const run = tree.get('/run');
  if (run) tree.set('/run', { ...run, mtime: usr.mtime });
  for (const entry of tree.values()) {
    const kept = Object.entries(entry.xattrs).filter(([name]) => name === 'security.capability');
    entry.xattrs = Object.fromEntries(kept);
  }
  return tree;
}

function differences(found: Map<string, Shown>): string[] {
  const print = (entry: Shown | undefined): string =>
    JSON.stringify(entry, (_, value: unknown) => (typeof value === 'bigint' ? `${value}` : value)) ?? 'nothing';
  return [...new Set([...expected.keys(), ...found.keys()])]
    .filter((path) => print(expected.get(path)) !== print(found.get(path)))
    .map((path) => `${path}: podman ${print(expected.get(path))}, here ${print(found.get(path))}`);
}

const result: Record<string, unknown> = { names: expected.size };
for (const [name, mount] of Object.entries(mounts)) {
  const found = differences(listTree(mount()));
  result[name] = { count: found.length, first: found.slice(0, 5) };
}
process.stdout.write(JSON.stringify(result));
