import { once } from 'node:events';
import { Socket } from 'node:net';
import { BridgeError } from '../errors.js';
import { Fd } from '../fd/fd.js';
import { pause } from '../fd/readiness.js';
import { files } from '../native.js';
import type { ClientShare } from './shares.js';

/** A client reads two layers at a time; more than this many only use up the server's descriptors. */
const MOST_LEASES = 64;

const SETTLE_INTERVAL = 20;
/** How often to look whether a lease has to be ended, at most. */
const LOOK_INTERVAL = 10_000;

/** What a lease keeps. */
export interface Kept extends AsyncDisposable {
  /** Grows while what was handed out is read; Infinity when all of it was. */
  progress: number;
  /** Whether somebody waits for what is kept. */
  awaited(): boolean;
}

interface Running {
  kept: Kept;
  since: number;
  progress: number;
  /** when `progress` was seen to grow */
  read: number;
  release(): Promise<void>;
}

/**
 * Things that are kept until whoever holds the other end of a pipe closes it. From a client that does not, they are
 * taken when it has not read for long, or has held them for very long while somebody waits.
 */
export class Leases implements AsyncDisposable {
  readonly #share: ClientShare;
  readonly #running = new Set<Running>();
  /** Those that are being taken back. */
  readonly #ending = new Set<Promise<void>>();
  #failure: unknown;
  #looking: NodeJS.Timeout | undefined;

  constructor(share: ClientShare) {
    this.#share = share;
  }

  /**
   * @param kept disposed as soon as the returned descriptor and all copies of it are closed, or with this object
   * @returns the write end of a pipe, for the client
   * @throws BridgeError `TOO_MANY_LEASES`, `TOO_MANY_DESCRIPTORS`, or when no pipe can be had; then `kept` stays the
   *   caller's
   */
  start(kept: Kept): Fd {
    if (this.#running.size >= MOST_LEASES)
      throw new BridgeError(
        'TOO_MANY_LEASES',
        `${MOST_LEASES} layers are in use on this connection; close the leases of some`,
      );
    const taken = this.#share.lease();
    const [read, write] = pipe(taken);
    const watcher = new Socket({ fd: read, readable: true, writable: false });
    const ended = once(watcher, 'close').then(
      () => {},
      () => {},
    );
    const now = performance.now();
    const release = async (): Promise<void> => {
      if (!this.#running.delete(running)) return;
      if (this.#running.size === 0) clearInterval(this.#looking);
      watcher.destroy();
      await ended;
      taken[Symbol.dispose]();
      await kept[Symbol.asyncDispose]();
    };
    const running: Running = { kept, since: now, progress: kept.progress, read: now, release };
    this.#running.add(running);
    if (this.#running.size === 1) this.#looking = setInterval(() => this.#look(), this.#interval).unref();
    watcher.resume();
    watcher.once('close', () => void release());
    watcher.once('end', () => watcher.destroy());
    watcher.once('error', () => watcher.destroy());
    return new Fd(write);
  }

  /**
   * Keeps what went wrong with something that was handed out, which the client was not told; the first is thrown in the
   * end.
   */
  fail(error: unknown): void {
    this.#failure ??= error;
  }

  /** Waits until all are given back or taken, but not once the signal is aborted. */
  async settle(signal: AbortSignal): Promise<void> {
    while (this.#running.size > 0 && !signal.aborted) await pause(SETTLE_INTERVAL, signal).catch(() => undefined);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#ending, ...[...this.#running].map(({ release }) => release())]);
    if (this.#failure !== undefined) throw this.#failure;
  }

  get #interval(): number {
    const { unread, held } = this.#share.limits;
    return Math.min(LOOK_INTERVAL, unread / 4, held / 4);
  }

  #look(): void {
    const { unread, held } = this.#share.limits;
    const now = performance.now();
    for (const running of this.#running) {
      const { kept, since, progress, read } = running;
      if (kept.progress !== progress) {
        running.progress = kept.progress;
        running.read = now;
      } else if (progress !== Infinity && now - read >= unread) {
        this.#end(running, `a client did not read a layer for ${unread / 1000} s`);
      }
      if (now - since >= held && kept.awaited())
        this.#end(running, `a client kept a layer for ${held / 1000} s that others wait for`);
    }
  }

  #end({ release }: Running, why: string): void {
    this.fail(new BridgeError('LEASE_ENDED', `${why}; it was taken back`));
    const ending = release()
      .catch((error: unknown) => this.fail(error))
      .finally(() => this.#ending.delete(ending));
    this.#ending.add(ending);
  }
}

function pipe(taken: Disposable): [read: number, write: number] {
  try {
    return files.pipe();
  } catch (error) {
    taken[Symbol.dispose]();
    throw error;
  }
}
