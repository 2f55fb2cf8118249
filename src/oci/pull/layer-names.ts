import type { Repository } from '../../repository/repository.js';
import { nameLayer } from './obtain-layer.js';
import type { LayerSource } from '../source/source.js';
import type { PulledLayer } from './types.js';

/**
 * Names layers beside all else that is to do: nothing but other names has to wait until one is on the disk. The
 * repository is in use until this is disposed.
 */
export class LayerNames implements AsyncDisposable {
  readonly #repository: Repository;
  readonly #pending: Promise<void>[] = [];

  constructor(repository: Repository) {
    this.#repository = repository;
  }

  add(layer: PulledLayer, { landed }: LayerSource): void {
    const named = nameLayer(this.#repository, layer).then(landed);
    // It may fail long before it is waited for.
    named.catch(() => undefined);
    this.#pending.push(named);
  }

  /** Waits for all names. @throws what one of them failed with */
  async done(): Promise<void> {
    await Promise.all(this.#pending);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.allSettled(this.#pending);
  }
}
