import { loadNative } from '../native.js';

let left = 0;

/**
 * For what may never settle, as it waits for a peer that says nothing: nobody waits for it, and it does not keep a
 * command from its end.
 */
export function leaveAlone(pending: PromiseLike<unknown>): void {
  left++;
  const back = (): void => void left--;
  pending.then(back, back);
}

/** Ends a command that left something alone: the usual end would wait for the threads that are in it. */
export function endWithoutWhatIsLeft(status: number): void {
  if (left > 0) loadNative<{ exitAtOnce(status: number): never }>().exitAtOnce(status);
}
