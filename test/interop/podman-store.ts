import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { inTree, type SharedFolder } from './peers.js';

/** What a store says of one of its layers, or images; members are those of the file. */
export type StoreRecord = Readonly<Record<string, unknown>>;

/** A store in a folder that the programs of the Debian tree see by the same path. */
export class PodmanStore {
  readonly graphroot: string;
  readonly #runroot: string;

  constructor(folder: SharedFolder, name: string) {
    this.graphroot = join(folder.path, name);
    this.#runroot = join(folder.path, `${name}.run`);
  }

  /** How references name the store. */
  get brackets(): string {
    return `[overlay@${this.graphroot}+${this.#runroot}]`;
  }

  /** The reference of an image in it, for skopeo and for us. */
  reference(name: string): string {
    return `containers-storage:${this.brackets}${name}`;
  }

  /** Runs podman on it. @returns what it prints */
  podman(...args: string[]): string {
    return inTree('podman', ...this.#where, ...args).trim();
  }

  /** Runs a shell script in the tree, in which `$podman` runs podman on the store. */
  script(text: string): string {
    return inTree('sh', '-ec', `podman="podman ${this.#where.join(' ')}"; ${text}`).trim();
  }

  layers(): StoreRecord[] {
    return this.#records('layers');
  }

  images(): StoreRecord[] {
    return this.#records('images');
  }

  /** The record of the image with this name. */
  image(name: string): StoreRecord | undefined {
    return this.images().find(({ names }) => (names as string[] | undefined)?.includes(name));
  }

  get #where(): string[] {
    return ['--root', this.graphroot, '--runroot', this.#runroot, '--storage-driver', 'overlay'];
  }

  #records(kind: string): StoreRecord[] {
    const path = join(this.graphroot, `overlay-${kind}/${kind}.json`);
    return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as StoreRecord[]) : [];
  }
}

/** Copies with skopeo, for which any image may come in. */
export function skopeoCopy(...args: string[]): void {
  inTree('skopeo', '--insecure-policy', 'copy', '-q', ...args);
}
