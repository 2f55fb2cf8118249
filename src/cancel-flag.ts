/**
 * Ends work of the addon early: a byte that its threads look at, see native/base/cancel_flag.h. Dispose it when the
 * work has ended.
 */
export class CancelFlag implements Disposable {
  /** For the addon. */
  readonly byte = new Uint8Array(1);
  readonly #signal: AbortSignal | undefined;

  /** @param signal sets the flag when it is aborted, or has been */
  constructor(signal?: AbortSignal) {
    this.#signal = signal;
    if (signal?.aborted === true) this.set();
    else signal?.addEventListener('abort', this.set, { once: true });
  }

  readonly set = (): void => {
    Atomics.store(this.byte, 0, 1);
  };

  get isSet(): boolean {
    return Atomics.load(this.byte, 0) !== 0;
  }

  [Symbol.dispose](): void {
    this.#signal?.removeEventListener('abort', this.set);
  }
}
