import type { Abortable } from '../abortable.js';
import { CancelFlag } from '../cancel-flag.js';
import type { Fd } from '../fd/fd.js';
import { KERNEL_ALGORITHM, type Algorithm } from '../fsverity/algorithm.js';
import { XATTR_CHOICE } from '../layouts.js';
import { loadNative, type FdNumber, type NativeHandle } from '../native.js';
import { ScanReader } from './scan-records.js';
import type { Directory } from './tree.js';

/** What of a folder gets into the tree. */
export interface ScanOptions extends Abortable {
  /** Which xattrs are read. */
  xattrs: 'all' | 'user' | 'none';
  /** Whether character and block devices are kept. */
  devices: boolean;
  /** Whether names of one inode stay one inode; otherwise each name becomes a file of its own, as in C mkcomposefs. */
  hardlinks: boolean;
  /** Digests of files of more than 64 bytes; a store has its own. */
  algorithm: Algorithm;
  /**
   * @internal
   * The object store that the content of such files is put into, by reflink or else by copying. Default: only hashed.
   */
  store?: NativeHandle;
  /** How many threads read and hash, 1..64. */
  threads: number;
}

interface NativeScan {
  scanFolder(
    root: FdNumber,
    options: { xattrs: number; devices: boolean; hardlinks: boolean; algorithm: number; threads: number },
    store: object | undefined,
    cancelled: Uint8Array,
  ): Promise<Buffer>;
}

const native = loadNative<NativeScan>();

/**
 * Reads a folder as the source of an image, as mkcomposefs does: metadata as lstat(2) shows it, content of up to 64
 * bytes as it is, the fs-verity digest of the rest. The whole walk runs on threads of the addon; memory follows the
 * number of entries and not their content. Symlinks are never followed; mount points are walked into.
 * @param root the open folder; stays the caller's
 * @throws an error with `code` (an errno's name, `SOURCE_CHANGED` for files that change meanwhile, or the store's) and
 *   `below`, the bytes of the path below the folder; the signal's reason
 * @example
 * ```ts
 * import { constants, openSync } from 'node:fs';
 * import { Fd, printDump, scanFolder } from 'composefs-bridge';
 *
 * using folder = new Fd(openSync('/srv/rootfs', constants.O_RDONLY | constants.O_DIRECTORY));
 * const options = { xattrs: 'all', devices: true, hardlinks: true, algorithm: 'sha256', threads: 4 } as const;
 * for (const lines of printDump(await scanFolder(folder, options))) process.stdout.write(lines);
 * ```
 */
export async function scanFolder(root: Fd, options: ScanOptions): Promise<Directory> {
  const { signal } = options;
  signal?.throwIfAborted();
  using cancelled = new CancelFlag(signal);
  try {
    const numbers = { xattrs: XATTR_CHOICE[options.xattrs], algorithm: KERNEL_ALGORITHM[options.algorithm] };
    const records = await native.scanFolder(
      root.number,
      { ...options, ...numbers },
      options.store?.nativeHandle(),
      cancelled.byte,
    );
    return new ScanReader(records).read();
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  }
}
