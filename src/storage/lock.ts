import type { Abortable } from '../abortable.js';
import { readSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { showBytes, type ByteString } from '../bytes.js';
import { debug } from '../debug.js';
import { BridgeError } from '../errors.js';
import type { Fd } from '../fd/fd.js';
import { linesOf } from '../fd/read-whole.js';
import { KERNEL_LINE_LIMIT } from '../limits.js';
import { files } from '../native.js';
import { openFile } from './read-file.js';

/** How long to wait for another process to finish its change of the store, in milliseconds. */
const DEFAULT_TIMEOUT = 60_000;
const FIRST_PAUSE = 1;
const LONGEST_PAUSE = 50;
const LAST_WRITE_SIZE = 64;

/** How long a caller is willing to wait for a lock. */
export interface LockWait extends Abortable {
  /** milliseconds; one minute when left out */
  timeout?: number | undefined;
}

/**
 * A shared lock on one of containers-storage's lock files. Podman takes POSIX record locks (not flock); an open file
 * description lock conflicts with those and, unlike them, survives other closes of the same file in this process.
 */
export class StoreLock implements Disposable {
  readonly #fd: Fd | undefined;

  constructor(fd: Fd | undefined) {
    this.#fd = fd;
  }

  /**
   * The token that writers renew with each change, to be compared for equality; undefined when the store
   * has no lock file or nothing was ever written.
   */
  lastWrite(): string | undefined {
    if (!this.#fd) return undefined;
    const token = Buffer.alloc(LAST_WRITE_SIZE);
    const length = readSync(this.#fd.number, token, 0, LAST_WRITE_SIZE, 0);
    return length === 0 ? undefined : token.toString('hex', 0, length);
  }

  /** Whether another process waits for the exclusive lock: proc_locks(5) lists it with an arrow. */
  get awaited(): boolean {
    if (!this.#fd) return false;
    const { dev, ino } = this.#fd.stat();
    const [major, minor] = [(dev >> 8n) & 0xfffn, (dev & 0xffn) | ((dev >> 12n) & 0xfff00n)].map((number) =>
      number.toString(16).padStart(2, '0'),
    );
    const file = ` ${major}:${minor}:${ino} `;
    for (const line of linesOf('/proc/locks', KERNEL_LINE_LIMIT))
      if (line.includes('->') && line.includes(' WRITE ') && line.includes(file)) return true;
    return false;
  }

  /** Closing the last descriptor of the open file releases the lock. */
  [Symbol.dispose](): void {
    this.#fd?.close();
  }
}

/**
 * Takes a shared lock on `name` below `dir`, waiting while a writer holds it. A store without the lock file, as on
 * read-only media, has no writers: then the lease locks nothing.
 * @throws BridgeError `STORE_BUSY` after the timeout; the signal's reason when aborted
 */
export async function lockShared(dir: Fd, name: ByteString, wait: LockWait = {}): Promise<StoreLock> {
  wait.signal?.throwIfAborted();
  // Nothing that is read from it is shown to anybody.
  using fd = openFile({ dir, owner: undefined }, name);
  if (fd === undefined) return new StoreLock(undefined);
  await waitForLock(fd, 'shared', name, wait);
  return new StoreLock(fd.move());
}

/**
 * Locks an open lock file, waiting while others hold it.
 * @param fd open for writing where `kind` is exclusive; whoever closes it unlocks the file
 * @param name for messages
 * @throws BridgeError `STORE_BUSY` after the timeout; the signal's reason when aborted
 */
export async function waitForLock(
  fd: Fd,
  kind: 'shared' | 'exclusive',
  name: ByteString,
  wait: LockWait,
): Promise<void> {
  wait.signal?.throwIfAborted();
  try {
    const deadline = performance.now() + (wait.timeout ?? DEFAULT_TIMEOUT);
    for (let pause = FIRST_PAUSE; !files.ofdLock(fd.number, kind); pause = Math.min(pause * 2, LONGEST_PAUSE)) {
      if (performance.now() >= deadline) {
        throw new BridgeError(
          'STORE_BUSY',
          `another process keeps ${showBytes(name)} locked; try again when it is done`,
        );
      }
      if (pause === FIRST_PAUSE) debug(() => `lock: ${showBytes(name)} of the store is held by another; waiting`);
      await sleep(pause, undefined, wait.signal ? { signal: wait.signal } : {});
    }
  } catch (error) {
    throw wait.signal?.aborted ? wait.signal.reason : error;
  }
}
