import { randomBytes } from 'node:crypto';
import { constants, writeSync } from 'node:fs';
import type { ByteString } from '../../bytes.js';
import { FormatError } from '../../errors.js';
import { openBeneath, type Fd } from '../../fd/fd.js';
import { waitForLock, type LockWait } from '../lock.js';

const TOKEN_SIZE = 64;
const COUNTER_AT = 8;
const PID_AT = 16;

let writes = 0n;

/** The exclusive lock on one of the lock files of a store: whoever holds it may change what the file guards. */
export class WriteLock implements Disposable {
  readonly #fd: Fd;

  private constructor(fd: Fd) {
    this.#fd = fd;
  }

  /**
   * Makes the lock file where there is none, and waits while others hold it.
   * @throws BridgeError `STORE_BUSY` after the timeout; FormatError `NOT_A_FILE`; the signal's reason when aborted
   */
  static async take(dir: Fd, name: ByteString, wait: LockWait = {}): Promise<WriteLock> {
    using fd = openBeneath(dir, name, constants.O_RDWR | constants.O_CREAT | constants.O_NONBLOCK, 0o644);
    if ((fd.stat().mode & constants.S_IFMT) !== constants.S_IFREG)
      throw new FormatError('NOT_A_FILE', `the lock file ${name} is not a regular file`);
    await waitForLock(fd, 'exclusive', name, wait);
    return new WriteLock(fd.move());
  }

  /**
   * Tells everybody that what they remember is out of date. Comes before each change: a process that dies in between
   * makes others read once too often, and not once too seldom.
   * Source: containers/storage pkg/lockfile, time and counter of the write, process, and random bytes.
   */
  recordWrite(): void {
    const token = randomBytes(TOKEN_SIZE);
    token.writeBigUInt64LE(BigInt(Date.now()) * 1_000_000n, 0);
    token.writeBigUInt64LE(++writes, COUNTER_AT);
    token.writeUInt32LE(process.pid, PID_AT);
    if (writeSync(this.#fd.number, token, 0, TOKEN_SIZE, 0) < TOKEN_SIZE) throw new Error('a lock file is cut short');
  }

  /** Unlocks the file. */
  [Symbol.dispose](): void {
    this.#fd.close();
  }
}
