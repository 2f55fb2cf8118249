import { once } from 'node:events';
import { Socket } from 'node:net';
import { BridgeError } from '../errors.js';
import { Fd } from '../fd/fd.js';
import { pause } from '../fd/readiness.js';
import { files } from '../native.js';

/** A client reads two layers at a time; more than this many only use up the server's descriptors. */
const MOST_LEASES = 64;

const SETTLE_INTERVAL = 20;

/** Things that are kept until whoever holds the other end of a pipe closes it. */
export class Leases implements AsyncDisposable {
  readonly #running = new Set<() => Promise<void>>();
  readonly #failures: unknown[] = [];

  /**
   * @param kept disposed as soon as the returned descriptor and all copies of it are closed, or with this object
   * @returns the write end of a pipe, for the client
   * @throws BridgeError `TOO_MANY_LEASES`, or when no pipe can be had; then `kept` stays the caller's
   */
  start(kept: AsyncDisposable): Fd {
    if (this.#running.size >= MOST_LEASES) throw new BridgeError('TOO_MANY_LEASES', `${MOST_LEASES} layers are in use on this connection; close the leases of some`);
    const [read, write] = files.pipe();
    const watcher = new Socket({ fd: read, readable: true, writable: false });
    const ended = once(watcher, 'close').then(
      () => {},
      () => {},
    );
    const release = async (): Promise<void> => {
      if (!this.#running.delete(release)) return;
      watcher.destroy();
      await ended;
      await kept[Symbol.asyncDispose]();
    };
    this.#running.add(release);
    watcher.resume();
    watcher.once('close', () => void release());
    watcher.once('end', () => watcher.destroy());
    watcher.once('error', () => watcher.destroy());
    return new Fd(write);
  }

  /** Keeps what went wrong with something that was handed out, which the client was not told; the first is thrown in the end. */
  fail(error: unknown): void {
    this.#failures.push(error);
  }

  /** Waits until all are given back, but not longer than `limit` milliseconds, and not once the signal is aborted. */
  async settle(limit: number, signal: AbortSignal): Promise<void> {
    for (const deadline = performance.now() + limit; this.#running.size > 0 && performance.now() < deadline && !signal.aborted; ) {
      await pause(SETTLE_INTERVAL, signal).catch(() => undefined);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#running].map((release) => release()));
    if (this.#failures.length > 0) throw this.#failures[0];
  }
}
