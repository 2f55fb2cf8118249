import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { inTree, peers, SharedFolder } from '../test/interop/peers.js';
import type { Bench } from './bench.js';
import { makeOstreeTrees } from './ostree-trees.js';
import { canMount } from './own-mounts.js';
import { Unavailable } from './place.js';

/** Every mode that the real ostree writes. */
export const MODES = ['archive', 'bare', 'bare-user', 'bare-user-only'] as const;
export type Mode = (typeof MODES)[number];

export const FIRST = 'bench/first';
export const SECOND = 'bench/second';

/** A commit of a tree and one of its update, which real ostree makes, and the delta between them. */
export class OstreeCommits implements Disposable {
  readonly folder: SharedFolder;

  /** @throws Unavailable without root or the Debian tree */
  constructor({ progress }: Bench) {
    if (!canMount() || !existsSync(join(peers, 'sid/usr/bin/ostree')))
      throw new Unavailable('commits of ostree need root and scripts/peers.sh');
    this.folder = new SharedFolder();
    progress('ostree: writing the trees');
    try {
      makeOstreeTrees(this.folder.path);
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  /** Makes a repository with both commits, below `folder`. */
  commit({ progress }: Bench, name: string, mode: Mode): string {
    const { path, inside } = this.folder;
    const ostree = (...words: string[]): string => inTree('ostree', `--repo=${inside}/${name}`, ...words).trim();
    progress(`ostree: committing to a repository of mode ${mode}`);
    // Such a repository has no owners.
    const options = mode === 'bare-user-only' ? ['--canonical-permissions'] : [];
    ostree('init', `--mode=${mode}`);
    const first = ostree('commit', `--branch=${FIRST}`, '--timestamp=@1000', ...options, `${inside}/old`);
    const more = [`--parent=${first}`, '--timestamp=@2000', ...options];
    const second = ostree('commit', `--branch=${SECOND}`, ...more, `${inside}/new`);
    if (mode === 'archive') {
      ostree('static-delta', 'generate', `--from=${first}`, `--to=${second}`);
      ostree('static-delta', 'generate', `--from=${first}`, `--to=${second}`, '--inline', `--filename=${inside}/delta`);
      ostree('summary', '--update');
    }
    return join(path, name);
  }

  /** The delta, with its parts in it. */
  get delta(): string {
    return join(this.folder.path, 'delta');
  }

  [Symbol.dispose](): void {
    rmSync(this.folder.path, { recursive: true, force: true });
  }
}
