/** What a signal ends. */
export interface Cancellable {
  cancel(reason: Error): void;
}

interface Listener {
  readonly all: Set<Cancellable>;
  readonly onAbort: () => void;
}

const listeners = new WeakMap<AbortSignal, Listener>();

/**
 * Has `one` cancelled, with the signal's reason, when the signal says so. Many requests have the same signal, which
 * gets one listener for all of them.
 */
export function cancelOn(signal: AbortSignal, one: Cancellable): void {
  let listener = listeners.get(signal);
  if (listener === undefined) {
    const all = new Set<Cancellable>();
    const onAbort = (): void => {
      for (const each of all) each.cancel(signal.reason as Error);
    };
    listener = { all, onAbort };
    listeners.set(signal, listener);
    signal.addEventListener('abort', onAbort);
  }
  listener.all.add(one);
}

/** Ends that. Where nothing else waits the signal may go, too. */
export function forget(signal: AbortSignal, one: Cancellable): void {
  const listener = listeners.get(signal);
  if (listener?.all.delete(one) !== true || listener.all.size > 0) return;
  listeners.delete(signal);
  signal.removeEventListener('abort', listener.onAbort);
}
