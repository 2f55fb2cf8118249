import { BridgeError } from '../errors.js';
import { FOREIGN_CHECK } from '../limits.js';
import { loadNative, type FdNumber } from '../native.js';
import { Fd } from './fd.js';

const native = loadNative<{
  filesystemTypes(fds: readonly FdNumber[]): Promise<number[]>;
  closeIfLocal(fds: readonly FdNumber[], types: readonly number[], closed: (index: number) => void): void;
}>();

/** Somebody who counts what strangers send. */
export interface ForeignFds {
  /** how many more there may be */
  readonly room: number;
  /** So many are not closed, as that might wait for whoever sent them: they stay until the process ends. */
  leftOpen(count: number): void;
}

/**
 * statfs(2) types whose files this machine alone serves. A file of any other may wait for somebody else, the stranger
 * say: FUSE, network filesystems, and those that lie on top of another one.
 */
const LOCAL = [
  0xef53,
  0x58465342,
  0x9123683e,
  0xf2f52010,
  0xca451a4e,
  0x2fc12fc1,
  0x3153464a,
  0x52654973, // ext4, xfs, btrfs, f2fs, bcachefs, zfs, jfs, reiserfs
  0x01021994,
  0x858458f6,
  0x958458f6, // tmpfs (and devtmpfs, memfd), ramfs, hugetlbfs
  0xe0f5e1e2,
  0x73717368,
  0x9660,
  0x15013346, // erofs, squashfs, iso9660, udf
  0x50495045,
  0x534f434b, // pipes, sockets
];

/**
 * A descriptor that a stranger sent. Until its filesystem is known to be of this machine, it is not even closed:
 * close(2) may wait, too.
 */
export class ForeignFd extends Fd {
  #local = false;
  readonly #counts: ForeignFds | undefined;

  constructor(number: number, counts?: ForeignFds) {
    super(number);
    this.#counts = counts;
  }

  override close(): void {
    if (this.closed) return;
    if (this.#local) super.close();
    else ForeignFd.#abandon([this]);
  }

  /** Until they turn out to be closed, they count as ones that stay. */
  static #abandon(fds: readonly ForeignFd[]): void {
    for (const fd of fds) fd.#counts?.leftOpen(1);
    const numbers = fds.map((fd) => fd.take());
    try {
      native.closeIfLocal(numbers, LOCAL, (index) => fds[index]!.#counts?.leftOpen(-1));
    } catch (error) {
      // Without a thread to close them on they stay, as they count already.
      if (!(error instanceof Error && 'code' in error)) throw error;
    }
  }

  override move(): ForeignFd {
    const moved = new ForeignFd(this.take(), this.#counts);
    moved.#local = this.#local;
    return moved;
  }

  /**
   * Looks where descriptors come from; those that no stranger sent are all right.
   * @throws BridgeError `FOREIGN_FILESYSTEM`, and then they are gone; the signal's reason
   */
  static async check(fds: readonly Fd[], signal: AbortSignal): Promise<void> {
    const foreign = fds.filter((fd) => fd instanceof ForeignFd).filter((fd) => !fd.#local);
    if (foreign.length === 0) return;
    const numbers = foreign.map((fd) => fd.number);
    const asked = native.filesystemTypes(numbers);
    try {
      const types = await within(asked, FOREIGN_CHECK, signal);
      const other = types?.find((type) => !LOCAL.includes(type));
      if (types !== undefined && other === undefined) return foreign.forEach((fd) => (fd.#local = true));
      const which = other === undefined ? 'that does not answer' : `of type 0x${other.toString(16)}`;
      throw new BridgeError(
        'FOREIGN_FILESYSTEM',
        `a descriptor of a stranger is of a filesystem ${which}: reading could wait for the stranger for ever. ` +
          'Only root and your own user may pass files of FUSE, network and stacked filesystems',
      );
    } catch (error) {
      ForeignFd.#abandon(foreign);
      throw error;
    }
  }
}

/** @returns undefined when the limit has passed */
async function within<T>(promise: Promise<T>, limit: number, signal: AbortSignal): Promise<T | undefined> {
  signal.throwIfAborted();
  let stop = (): void => {};
  const end = new Promise<undefined>((resolve, reject) => {
    const timer = setTimeout(() => resolve(undefined), limit);
    const onAbort = (): void => reject(signal.reason as Error);
    signal.addEventListener('abort', onAbort, { once: true });
    stop = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
    };
  });
  try {
    return await Promise.race([promise, end]);
  } finally {
    stop();
  }
}
