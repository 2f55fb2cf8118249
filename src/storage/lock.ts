import { constants, readSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { showBytes, type ByteString } from '../bytes.js';
import { BridgeError } from '../errors.js';
import { isErrno, openBeneath, type Fd } from '../fd/fd.js';
import { files } from '../native.js';

/** How long to wait for another process to finish its change of the store, in milliseconds. */
const DEFAULT_TIMEOUT = 60_000;
const FIRST_PAUSE = 1;
const LONGEST_PAUSE = 50;
const LAST_WRITE_SIZE = 64;

/** How long a caller is willing to wait for a lock. */
export interface LockWait {
  signal?: AbortSignal | undefined;
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
  let fd: Fd;
  try {
    fd = openBeneath(dir, name, constants.O_RDONLY);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return new StoreLock(undefined);
    throw error;
  }
  try {
    const deadline = performance.now() + (wait.timeout ?? DEFAULT_TIMEOUT);
    for (let pause = FIRST_PAUSE; !files.ofdLock(fd.number, 'shared'); pause = Math.min(pause * 2, LONGEST_PAUSE)) {
      if (performance.now() >= deadline) {
        throw new BridgeError('STORE_BUSY', `another process keeps ${showBytes(name)} locked; try again when it is done`);
      }
      await sleep(pause, undefined, wait.signal ? { signal: wait.signal } : {});
    }
    return new StoreLock(fd);
  } catch (error) {
    fd.close();
    throw wait.signal?.aborted ? wait.signal.reason : error;
  }
}
