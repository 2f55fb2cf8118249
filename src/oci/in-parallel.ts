import { setMaxListeners } from 'node:events';

/**
 * Does some jobs at the same time, in their order.
 * @throws the first error, when all that had begun has ended; jobs get a signal that tells them to end
 */
export async function inParallel<Item, Result>(
  items: readonly Item[],
  count: number,
  signal: AbortSignal | undefined,
  job: (item: Item, signal: AbortSignal) => Promise<Result>,
): Promise<Result[]> {
  const stop = new AbortController();
  const both = signal === undefined ? stop.signal : AbortSignal.any([signal, stop.signal]);
  // Each job listens.
  setMaxListeners(0, both);
  const results: Result[] = [];
  let next = 0;
  const work = async (): Promise<void> => {
    for (let index = next++; index < items.length; index = next++) {
      both.throwIfAborted();
      results[index] = await job(items[index] as Item, both);
    }
  };
  const workers = Array.from({ length: Math.min(count, items.length) }, () =>
    work().catch((error: unknown) => {
      if (!stop.signal.aborted) stop.abort(error);
    }),
  );
  await Promise.all(workers);
  signal?.throwIfAborted();
  if (stop.signal.aborted) throw stop.signal.reason;
  return results;
}
