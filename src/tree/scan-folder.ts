import type { Fd } from '../fd/fd.js';
import { KERNEL_ALGORITHM, type Algorithm } from '../fsverity/algorithm.js';
import { loadNative } from '../native.js';
import type { ObjectStore } from '../repository/objects.js';
import { ScanReader } from './scan-records.js';
import type { Directory } from './tree.js';

/** What of a folder gets into the tree. */
export interface ScanOptions {
  /** Which xattrs are read. */
  xattrs: 'all' | 'user' | 'none';
  /** Whether character and block devices are kept. */
  devices: boolean;
  /** Whether names of one inode stay one inode; otherwise each name becomes a file of its own, as in C mkcomposefs. */
  hardlinks: boolean;
  /** Digests of files of more than 64 bytes; a store has its own. */
  algorithm: Algorithm;
  /** Where the content of such files is put, by reflink or else by copying. Default: it is only hashed. */
  store?: ObjectStore;
  /** How many threads read and hash, 1..64. */
  threads: number;
  signal?: AbortSignal;
}

interface NativeScan {
  scanFolder(
    root: number,
    options: { xattrs: number; devices: boolean; hardlinks: boolean; algorithm: number; threads: number },
    store: object | null,
    cancelled: Uint8Array,
  ): Promise<Buffer>;
}

const native = loadNative<NativeScan>();

const XATTRS = { none: 0, user: 1, all: 2 } as const;

/**
 * Reads a folder as the source of an image, as mkcomposefs does: metadata as lstat(2) shows it, content of up to 64 bytes as it
 * is, the fs-verity digest of the rest. The whole walk runs on threads of the addon; memory follows the number of
 * entries and not their content. Symlinks are never followed; mount points are walked into.
 * @param root the open folder; stays the caller's
 * @throws an error with `code` (an errno's name, `SOURCE_CHANGED` for files that change meanwhile, or the store's) and
 *   `below`, the bytes of the path below the folder; the signal's reason
 */
export async function scanFolder(root: Fd, options: ScanOptions): Promise<Directory> {
  const { signal } = options;
  signal?.throwIfAborted();
  const cancelled = new Uint8Array(1);
  const cancel = (): void => void Atomics.store(cancelled, 0, 1);
  signal?.addEventListener('abort', cancel, { once: true });
  try {
    const numbers = { xattrs: XATTRS[options.xattrs], algorithm: KERNEL_ALGORITHM[options.algorithm] };
    const records = await native.scanFolder(root.number, { ...options, ...numbers }, options.store?.nativeHandle() ?? null, cancelled);
    return new ScanReader(records).read();
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  } finally {
    signal?.removeEventListener('abort', cancel);
  }
}
