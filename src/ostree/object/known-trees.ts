import { OSTREE_KNOWN_TREES_LIMIT } from '../../limits.js';
import type { Checksum } from './checksum.js';
import type { ParsedTree } from './dirtree.js';

/** Dirtrees that were verified and read, as many as may be in memory. */
export class KnownTrees {
  readonly #trees = new Map<Checksum, ParsedTree>();
  #entries = 0;

  get(id: Checksum): ParsedTree | undefined {
    return this.#trees.get(id);
  }

  add(id: Checksum, tree: ParsedTree): void {
    const entries = tree.files.length + tree.folders.length;
    if (this.#entries + entries > OSTREE_KNOWN_TREES_LIMIT) return;
    this.#trees.set(id, tree);
    this.#entries += entries;
  }
}
