import type { Abortable } from '../abortable.js';
import { CancelFlag } from '../cancel-flag.js';
import type { Fd } from '../fd/fd.js';
import { loadNative, type FdNumber } from '../native.js';
import type { Algorithm } from './algorithm.js';

/** What the addon computes itself; the kernel is never asked, so this works on every filesystem. */
interface NativeDigest {
  verityDigest(bytes: Uint8Array, algorithm: Algorithm): Buffer;
  verityDigestOfFd(fd: FdNumber, algorithm: Algorithm, cancelled: Uint8Array): Promise<Buffer>;
}

const native = loadNative<NativeDigest>();

/**
 * fs-verity digest of bytes in memory, as `fsverity digest` prints it: 4096-byte blocks, no salt
 * (Linux, Documentation/filesystems/fsverity.rst). Blocks the caller: for a few MiB at most.
 * @returns 32 or 64 bytes
 * @throws TypeError when `bytes` is no Uint8Array or `algorithm` is unknown
 * @example
 * ```ts
 * import { verityDigest } from 'composefs-bridge';
 *
 * console.log(verityDigest(Buffer.from('hello\n'), 'sha256').toString('hex')); // …
 * ```
 */
export function verityDigest(bytes: Uint8Array, algorithm: Algorithm): Buffer {
  return native.verityDigest(bytes, algorithm);
}

/**
 * fs-verity digest of a whole open file, from its first byte whatever the file position, on a worker thread in
 * constant memory. The caller keeps `fd` and may close it at once: the worker reads through its own duplicate.
 * @returns 32 or 64 bytes
 * @throws the signal's reason when aborted, otherwise an error with `code`, `errno` and `syscall`
 * @example
 * ```ts
 * import { openSync } from 'node:fs';
 * import { Fd, verityDigestOfFd } from 'composefs-bridge';
 *
 * using file = new Fd(openSync('image.cfs', 'r'));
 * const digest = await verityDigestOfFd(file, 'sha256', { signal: AbortSignal.timeout(60_000) });
 * console.log(digest.toString('hex')); // …
 * ```
 */
export async function verityDigestOfFd(fd: Fd, algorithm: Algorithm, { signal }: Abortable = {}): Promise<Buffer> {
  signal?.throwIfAborted();
  using cancelled = new CancelFlag(signal);
  try {
    const digest = await native.verityDigestOfFd(fd.number, algorithm, cancelled.byte);
    signal?.throwIfAborted();
    return digest;
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  }
}
