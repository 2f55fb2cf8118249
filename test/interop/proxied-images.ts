import { once } from 'node:events';
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cfsbridge } from '../support/cli/run-cli.js';
import { unpackSmallStore, type SmallStore } from '../support/images/small-store.js';
import { startRegistry, type Server } from './docker-registry.js';
import { inTree, peerCommand, SharedFolder } from './peers.js';

/** An image proxy. */
export interface ProxySide {
  name: 'skopeo' | 'ours';
  /** takes skopeo's command line */
  program: string;
}

/** A store and a registry, for image proxies to open images of: skopeo's of the Debian tree, and ours. */
export class ProxiedImages implements AsyncDisposable {
  readonly sides: readonly [ProxySide, ProxySide];

  private constructor(
    readonly folder: SharedFolder,
    readonly store: SmallStore,
    readonly registry: Server,
  ) {
    this.sides = [
      { name: 'skopeo', program: this.#written('skopeo', skopeoOf('sid')) },
      { name: 'ours', program: this.#linked() },
    ];
  }

  static async make(): Promise<ProxiedImages> {
    const folder = new SharedFolder();
    return new ProxiedImages(folder, unpackSmallStore(folder.path), await startRegistry(folder, 'registry'));
  }

  stored(image: string): string {
    return `containers-storage:[overlay@${this.store.graphroot}+${this.folder.path}/run]${image}`;
  }

  /** Copies an image of the store with skopeo. */
  copy(image: string, to: string, ...options: string[]): void {
    const from = this.stored(image);
    inTree('skopeo', '--insecure-policy', 'copy', '-q', '--dest-tls-verify=false', ...options, from, to);
  }

  /**
   * A folder whose `skopeo` writes its arguments down before it becomes one of the two, which takes HTTP from the
   * registry.
   * @returns the folder, and the file
   */
  inPath({ name, program }: ProxySide): { path: string; log: string } {
    const registries = join(this.folder.path, 'registries.conf');
    writeFileSync(registries, `[[registry]]\nlocation = '${this.registry.host}'\ninsecure = true\n`);
    const path = join(this.folder.path, `path-${name}`);
    const log = join(path, 'log');
    mkdirSync(path);
    this.#written(
      `path-${name}/skopeo`,
      `echo "$*" >>'${log}'\nexec '${program}' --registries-conf '${registries}' "$@"`,
    );
    return { path, log };
  }

  #written(name: string, script: string): string {
    const path = join(this.folder.path, name);
    writeFileSync(path, `#!/bin/sh\n${script}\n`);
    chmodSync(path, 0o755);
    return path;
  }

  #linked(): string {
    mkdirSync(join(this.folder.path, 'ours'));
    const link = join(this.folder.path, 'ours/skopeo');
    symlinkSync(cfsbridge, link);
    return link;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { child } = this.registry;
    child.kill();
    if (child.exitCode === null && child.signalCode === null) await once(child, 'close');
    this.store.remove();
    this.folder[Symbol.dispose]();
  }
}

/** A line of shell that becomes the skopeo of a tree; by its path, for PATH may lead to what stands before it. */
function skopeoOf(tree: string): string {
  const words = peerCommand(tree, ['/usr/bin/skopeo']).map((word) => `'${word}'`);
  return `exec ${words.join(' ')} "$@"`;
}
