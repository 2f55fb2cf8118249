import { setTimeout } from 'node:timers/promises';

/** A server may ask for any time; whoever waits at a terminal would rather hear that it does not work. */
const LONGEST_MS = 60_000;

/**
 * How long to wait before a request is tried again.
 * @param tries how often it was tried
 * @param firstMs the wait after the first time; it doubles each time
 * @param retryAfter what the server said: seconds, or a date
 * @returns milliseconds, one minute at most
 */
export function waitBefore(tries: number, firstMs: number, retryAfter?: string, now = Date.now()): number {
  const asked = retryAfter === undefined ? undefined : parseRetryAfter(retryAfter, now);
  return Math.min(asked ?? firstMs * 2 ** (tries - 1), LONGEST_MS);
}

/** @throws the signal's reason */
export async function wait(ms: number, signal: AbortSignal | undefined): Promise<void> {
  try {
    await setTimeout(ms, undefined, { signal });
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  }
}

function parseRetryAfter(text: string, now: number): number | undefined {
  if (/^\d+$/.test(text.trim())) return Number(text) * 1000;
  const date = Date.parse(text);
  return Number.isNaN(date) ? undefined : Math.max(0, date - now);
}
