import type { LayerTree } from '../../tree/oci-layers.js';
import type { PlacedEntry } from '../image/stored-layer.js';

/** Where the entries of a layer go, some at a time and in the layer's order. */
export interface EntrySink {
  add(entries: readonly PlacedEntry[]): void;
}

/**
 * Brings the entries of layers that are read at the same time into the image's order. Those of the lowest layer that is
 * not done pass through, those of layers above wait. A layer that occurs several times is applied each time.
 */
export class LayersInOrder {
  readonly #order: readonly string[];
  readonly #tree: LayerTree;
  readonly #waiting = new Map<string, (readonly PlacedEntry[])[]>();
  readonly #ended = new Set<string>();
  /** Index of the layer that passes through. */
  #current = 0;

  /** @param order diff_ids, base first */
  constructor(order: readonly string[], tree: LayerTree) {
    this.#order = order;
    this.#tree = tree;
    if (order[0] !== undefined) tree.beginLayer(order[0]);
  }

  /** The way of one layer's entries into the tree. */
  sinkOf(layer: string): EntrySink {
    return { add: (entries) => this.#add(layer, entries) };
  }

  /** No more entries of this layer will come. */
  end(layer: string): void {
    this.#ended.add(layer);
    if (this.#order[this.#current] !== layer) return;
    for (this.#current++; this.#current < this.#order.length; this.#current++) {
      const next = this.#order[this.#current] as string;
      this.#tree.beginLayer(next);
      for (const entries of this.#waiting.get(next) ?? []) this.#apply(entries);
      if (!this.#comesAgain(next)) this.#waiting.delete(next);
      if (!this.#ended.has(next)) return;
    }
  }

  #add(layer: string, entries: readonly PlacedEntry[]): void {
    const isCurrent = this.#order[this.#current] === layer;
    if (isCurrent) this.#apply(entries);
    if (isCurrent && !this.#comesAgain(layer)) return;
    const kept = this.#waiting.get(layer);
    if (kept) kept.push(entries);
    else this.#waiting.set(layer, [entries]);
  }

  #apply(entries: readonly PlacedEntry[]): void {
    for (const { entry, content } of entries) this.#tree.apply(entry, content);
  }

  #comesAgain(layer: string): boolean {
    return this.#order.indexOf(layer, this.#current + 1) >= 0;
  }
}
