import { setTimeout } from 'node:timers/promises';
import type { Abortable } from '../abortable.js';
import { debug } from '../debug.js';
import type { Fd } from '../fd/fd.js';
import { files } from '../native.js';

const LOCK_INTERVAL_MS = 50;
/** Shorter: the moments in which nobody has the repository open may be rare. */
const EXCLUSIVE_INTERVAL_MS = 5;

/** Who waits longer than this is told what for. */
const PATIENCE_MS = 1000;

/** Whom a lock is waited for: a garbage collection or its like, or everybody. */
export type WaitedFor = 'exclusive' | 'others';

/** Locks a repository's folder. @throws the signal's reason */
export async function lock(
  root: Fd,
  kind: 'shared' | 'exclusive',
  { signal, onWait }: Abortable & { onWait?: ((what: WaitedFor) => void) | undefined },
): Promise<void> {
  const start = performance.now();
  let tries = 0;
  for (let told = false; !files.flock(root.number, kind); tries++) {
    if (tries === 0)
      debug(
        () =>
          `lock: waiting for the ${kind} lock of the repository, which ` +
          `${kind === 'shared' ? 'a garbage collection, repair or migration' : 'somebody'} has`,
      );
    if (!told && performance.now() - start > PATIENCE_MS) {
      told = true;
      onWait?.(kind === 'shared' ? 'exclusive' : 'others');
    }
    await setTimeout(kind === 'shared' ? LOCK_INTERVAL_MS : EXCLUSIVE_INTERVAL_MS, undefined, signal && { signal });
  }
  if (tries > 0)
    debug(() => `lock: have the ${kind} lock of the repository after ${Math.round(performance.now() - start)} ms`);
}
