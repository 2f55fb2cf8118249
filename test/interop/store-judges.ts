// What podman, buildah and skopeo make of a containers-storage that somebody else wrote.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { peerCommand, peers, run, succeed, type Answer } from './peers.js';
import { program } from './processes.js';

/** sid's podman writes what is new in a store; that of Debian 12, 4.3, knows nothing of it. */
export const podmans = ['sid', 'bookworm'] as const;
export type Podman = (typeof podmans)[number];

/** Why the podman of a tree cannot judge here, or false. */
export function whyNoPodman(tree: Podman): string | false {
  return existsSync(join(peers, tree, 'usr/bin/podman'))
    ? false
    : `there is no podman in the tree ${tree}; scripts/peers.sh installs it`;
}

/** Why containers cannot be started here, or false. */
export function whyNoContainers(): string | false {
  const [first = '', ...rest] = peerCommand('sid', ['true']);
  const { status, stderr } = run(first, rest, { CFSBRIDGE_CONTAINERS: '1' });
  return status === 0 ? false : `the tree cannot be the root of a mount namespace with cgroups here: ${stderr.trim()}`;
}

/** An image as podman lists it. */
export interface Listed {
  id: string;
  digest: string;
  names: string[];
}

/** A store below the folder that both sides see. Each program has a mount namespace of its own and leaves no mounts. */
export class StoreOfPeers {
  /** @param name its path from there */
  constructor(readonly name: string) {}

  get path(): string {
    return join(peers, 'share', this.name);
  }

  /** What our commands call it, without an image. */
  get here(): string {
    return `containers-storage:[overlay@${this.path}+${this.path}.run]`;
  }

  /** The same for programs in the trees. */
  get inTree(): string {
    return `containers-storage:[overlay@/share/${this.name}+/share/${this.name}.run]`;
  }

  /** The command line of a program that takes podman's options for the store. */
  command(tree: Podman, name: 'podman' | 'buildah', ...args: string[]): string[] {
    const options = ['--root', `/share/${this.name}`, '--runroot', `/share/${this.name}.run`];
    return peerCommand(tree, [name, ...options, '--storage-driver', 'overlay', ...args]);
  }

  /** @returns standard output; it has to succeed */
  podman(tree: Podman, ...args: string[]): string {
    const [first = '', ...rest] = this.command(tree, 'podman', ...args);
    return succeed(first, rest).trim();
  }

  /** Makes it hold an image of another store, as skopeo does that. */
  fillWithSkopeo(from: StoreOfPeers, image: string): void {
    const [first = '', ...rest] = peerCommand('sid', [
      ...['skopeo', '--insecure-policy', 'copy', '--quiet'],
      ...[from.inTree, this.inTree].map((store) => store + image),
    ]);
    succeed(first, rest);
  }

  list(tree: Podman): Listed[] {
    const images = JSON.parse(this.podman(tree, 'images', '--no-trunc', '--format', 'json')) as {
      Id: string;
      Digest: string;
      Names: string[] | null;
    }[];
    return images
      .map(({ Id, Digest, Names }) => ({ id: Id.replace('sha256:', ''), digest: Digest, names: (Names ?? []).sort() }))
      .sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  /** What the config of an image, which has its id from it, says about the layers. */
  diffIds(id: string): string[] {
    const file = `=${Buffer.from(`sha256:${id}`).toString('base64')}`;
    const config = readFileSync(join(this.path, 'overlay-images', id, file), 'utf8');
    return (JSON.parse(config) as { rootfs: { diff_ids: string[] } }).rootfs.diff_ids;
  }

  /** @returns the digests of the tars that podman saves, lowest layer first, by the image's id */
  savedLayers(tree: Podman, images: readonly string[]): Record<string, string[]> {
    const save = this.command(tree, 'podman', 'save', '--format', 'docker-archive', '--multi-image-archive', ...images);
    const pipe = ['-o', 'pipefail', '-c', 'script=$1; shift; "$@" | python3 -c "$script"', 'bash', HASHES, ...save];
    return JSON.parse(execFileSync('bash', pipe, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })) as Record<
      string,
      string[]
    >;
  }

  /**
   * Mounts images of this store and of another one by the podman of a tree.
   * @returns how many names they have, and where the two differ, by image
   */
  compareTrees(tree: Podman, other: StoreOfPeers, images: readonly string[]): Record<string, ComparedTrees> {
    const words = [process.execPath, program('store-trees'), tree, this.name, other.name, ...images];
    return JSON.parse(succeed('unshare', ['--mount', '--propagation', 'private', ...words])) as Record<
      string,
      ComparedTrees
    >;
  }

  /**
   * Has buildah make another image of one of the store.
   * @param context the folder it takes files from, below the one that both sides see
   */
  build(result: string, context: string): void {
    const inside = `/share/${relative(join(peers, 'share'), context)}`;
    const [first = '', ...rest] = this.command(
      'sid',
      'buildah',
      'build',
      '--quiet',
      '--pull=never',
      '--tag',
      result,
      inside,
    );
    succeed(first, rest);
  }

  /** Runs a shell command in a container of an image. @returns what it printed */
  runContainer(image: string, command: string): string {
    const options = ['--rm', '--pull=never', '--network=none', '--cgroups=disabled'];
    const [first = '', ...rest] = this.command('sid', 'podman', 'run', ...options, image, 'sh', '-c', command);
    return succeed(first, rest, { CFSBRIDGE_CONTAINERS: '1' }).trim();
  }

  /** What both checks find wrong with the store, in their words, without what depends on the moment. */
  complaints(): string[] {
    const [podman = '', ...options] = this.command('sid', 'podman', 'system', 'check');
    const graph = ['--graph', `/share/${this.name}`, '--run', `/share/${this.name}.run`];
    const [storage = '', ...more] = peerCommand('sid', [
      ...['containers-storage', ...graph, '--storage-driver', 'overlay', 'check'],
    ]);
    return [...wordsOf(run(podman, options)), ...wordsOf(run(storage, more))].sort();
  }
}

export interface ComparedTrees {
  names: number;
  differences: string[];
  /** folders that have different times: that of the moment, where no tar has an entry for them */
  undated: string[];
}

/** The lines that say what is wrong. Missing parents of a file have the time at which it was unpacked. */
function wordsOf({ status, stdout, stderr }: Answer): string[] {
  assert.notEqual(status, null, stderr);
  const lines = stdout
    .split('\n')
    .filter((line) => /\S/.test(line) && !/^\d+ (?:errors occurred|layer errors)/.test(line));
  if (status !== 0 && lines.length === 0) return [`status ${status}: ${stderr}`];
  return lines.map((line) => line.replace(/(mtime:0x[0-9a-f]+\D+)0x[67][0-9a-f]{7}\b/g, '$1now'));
}

/** Prints, for an archive of docker on standard input, the SHA-256 of each image's layers as JSON. */
const HASHES = `
import hashlib, json, os, sys, tarfile
digests, links, texts = {}, {}, {}
with tarfile.open(fileobj=sys.stdin.buffer, mode='r|') as archive:
    for member in archive:
        if member.issym():
            links[member.name] = os.path.normpath(os.path.join(os.path.dirname(member.name), member.linkname))
        elif member.isfile():
            content, digest = archive.extractfile(member), hashlib.sha256()
            while block := content.read(1 << 20):
                digest.update(block)
                if member.name == 'manifest.json': texts[member.name] = texts.get(member.name, b'') + block
            digests[member.name] = 'sha256:' + digest.hexdigest()
found = {}
for image in json.loads(texts['manifest.json']):
    layers = [digests[links.get(layer, layer)] for layer in image['Layers']]
    found[os.path.basename(image['Config']).removesuffix('.json')] = layers
print(json.dumps(found))
`;
