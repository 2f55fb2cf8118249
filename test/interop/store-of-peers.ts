// A containers-storage as podman, buildah and skopeo see it, whoever wrote it.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { recordsOf, type StoreRecord } from '../support/images/store-strays.js';
import { inTree, peerCommand, peers, run, succeed, type Answer, type SharedFolder } from './peers.js';
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
  /**
   * @param graphroot below that folder
   * @param tree whose programs look at it
   */
  constructor(
    readonly graphroot: string,
    readonly tree: Podman = 'sid',
  ) {}

  /** @param name new in the folder; the store is made by whoever writes into it first */
  static in(folder: SharedFolder, name: string): StoreOfPeers {
    return new StoreOfPeers(join(folder.path, name));
  }

  /** The same store, for the programs of another tree. */
  by(tree: Podman): StoreOfPeers {
    return new StoreOfPeers(this.graphroot, tree);
  }

  /** The reference of an image in it, or of all of it, for skopeo and for us. */
  reference(name = ''): string {
    return `containers-storage:[overlay@${this.graphroot}+${this.graphroot}.run]${name}`;
  }

  /** The command line of a program that takes podman's options for the store. */
  command(name: 'podman' | 'buildah', ...args: string[]): string[] {
    return peerCommand(this.tree, [...WITHOUT_WARNING, name, ...this.#options, ...args]);
  }

  /** @returns what podman prints; it has to succeed */
  podman(...args: string[]): string {
    const [first = '', ...rest] = this.command('podman', ...args);
    return succeed(first, rest).trim();
  }

  /** Runs a shell script in the tree, in which `$podman` and `$buildah` run these on the store. */
  script(text: string): string {
    const variables = ['podman', 'buildah'].map((name) => `${name}="${name} ${this.#options.join(' ')}"`).join('; ');
    const [first = '', ...rest] = peerCommand(this.tree, [...WITHOUT_WARNING, 'sh', '-ec', `${variables}; ${text}`]);
    return succeed(first, rest).trim();
  }

  layers(): StoreRecord[] {
    return recordsOf(this.graphroot, 'layers');
  }

  images(): StoreRecord[] {
    return recordsOf(this.graphroot, 'images');
  }

  /** The record of the image with this name. */
  image(name: string): StoreRecord | undefined {
    return this.images().find(({ names }) => names?.includes(name));
  }

  list(): Listed[] {
    const images = JSON.parse(this.podman('images', '--no-trunc', '--format', 'json')) as {
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
    const config = readFileSync(join(this.graphroot, 'overlay-images', id, file), 'utf8');
    return (JSON.parse(config) as { rootfs: { diff_ids: string[] } }).rootfs.diff_ids;
  }

  /** @returns the digests of the tars that podman saves, lowest layer first, by the image's id */
  savedLayers(images: readonly string[]): Record<string, string[]> {
    const save = this.command('podman', 'save', '--format', 'docker-archive', '--multi-image-archive', ...images);
    const pipe = ['-o', 'pipefail', '-c', 'script=$1; shift; "$@" | python3 -c "$script"', 'bash', HASHES, ...save];
    return JSON.parse(execFileSync('bash', pipe, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })) as Record<
      string,
      string[]
    >;
  }

  /**
   * Mounts images of this store and of another one by podman.
   * @returns how many names they have, and where the two differ, by image
   */
  compareTrees(other: StoreOfPeers, images: readonly string[]): Record<string, ComparedTrees> {
    const words = [process.execPath, program('store-trees'), this.tree, this.#inside, other.#inside, ...images];
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
    const [first = '', ...rest] = this.buildCommand(result, context);
    succeed(first, rest);
  }

  /** The command line for that. */
  buildCommand(result: string, context: string, ...options: string[]): string[] {
    return this.command('buildah', 'build', '--quiet', '--pull=never', ...options, '--tag', result, context);
  }

  /** Runs a shell command in a container of an image. @returns what it printed */
  runContainer(image: string, command: string): string {
    const options = ['--rm', '--pull=never', '--network=none', '--cgroups=disabled'];
    const [first = '', ...rest] = this.command('podman', 'run', ...options, image, 'sh', '-c', command);
    return succeed(first, rest, { CFSBRIDGE_CONTAINERS: '1' }).trim();
  }

  /** What podman's check finds wrong with it, in its words, without what depends on the moment. */
  problems(): string[] {
    const [first = '', ...rest] = this.command('podman', 'system', 'check');
    return wordsOf(run(first, rest)).sort();
  }

  /** The same of podman's check and of that of containers-storage. */
  complaints(): string[] {
    const graph = ['--graph', this.#inside, '--run', `${this.#inside}.run`, '--storage-driver', 'overlay'];
    const [first = '', ...rest] = peerCommand(this.tree, ['containers-storage', ...graph, 'check']);
    return [...this.problems(), ...wordsOf(run(first, rest))].sort();
  }

  /** It has no images and no layers any more, and nothing is left of any. */
  assertEmpty(): void {
    assert.deepEqual([this.images(), this.layers()], [[], []]);
    const left = ['overlay', 'overlay/tempdirs', 'overlay/l', 'overlay-layers', 'overlay-layers/tmp'].flatMap(
      (folder) => {
        const path = join(this.graphroot, folder);
        return existsSync(path) ? readdirSync(path).map((name) => `${folder}/${name}`) : [];
      },
    );
    assert.deepEqual(
      left.filter((path) => !EMPTY.has(path)),
      [],
    );
  }

  get #options(): string[] {
    return ['--root', this.#inside, '--runroot', `${this.#inside}.run`, '--storage-driver', 'overlay'];
  }

  /** podman remembers where a store is, and stores live longer than tests: it is there in the trees. */
  get #inside(): string {
    return `/share/${relative(join(peers, 'share'), this.graphroot)}`;
  }
}

export interface ComparedTrees {
  names: number;
  differences: string[];
  /** folders that have different times: that of the moment, where no tar has an entry for them */
  undated: string[];
}

/** Copies with skopeo, for which any image may come in. */
export function skopeoCopy(...args: string[]): void {
  inTree('skopeo', '--insecure-policy', 'copy', '-q', ...args);
}

const WITHOUT_WARNING = ['env', 'PODMAN_IGNORE_CGROUPSV1_WARNING=1'];

/** What a store without layers has. */
const EMPTY: ReadonlySet<string> = new Set([
  ...['overlay/.has-mount-program', 'overlay/l', 'overlay/tempdirs'],
  ...['layers.json', 'layers.lock', 'tmp', 'volatile-layers.json'].map((name) => `overlay-layers/${name}`),
  // What a writer of ours died at, and the next one takes for its own.
  'overlay-layers/.tmp-layers.json',
]);

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
