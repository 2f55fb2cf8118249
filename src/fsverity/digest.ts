import type { Fd } from '../fd/fd.js';
import { loadNative } from '../native.js';
import type { Algorithm } from './algorithm.js';

/** What the addon computes itself; the kernel is never asked, so this works on every filesystem. */
interface NativeDigest {
  verityDigest(bytes: Uint8Array, algorithm: Algorithm): Buffer;
  verityDigestOfFd(fd: number, algorithm: Algorithm, cancelled: Uint8Array): Promise<Buffer>;
}

const native = loadNative<NativeDigest>();

/**
 * fs-verity digest of bytes in memory, as `fsverity digest` prints it: 4096-byte blocks, no salt
 * (Linux, Documentation/filesystems/fsverity.rst). Blocks the caller: for a few MiB at most.
 * @returns 32 or 64 bytes
 * @throws TypeError when `bytes` is no Uint8Array or `algorithm` is unknown
 */
export function verityDigest(bytes: Uint8Array, algorithm: Algorithm): Buffer {
  return native.verityDigest(bytes, algorithm);
}

/**
 * fs-verity digest of a whole open file, from its first byte whatever the file position, on a worker thread in
 * constant memory. The caller keeps `fd` and may close it at once: the worker reads through its own duplicate.
 * @returns 32 or 64 bytes
 * @throws the signal's reason when aborted, otherwise an error with `code`, `errno` and `syscall`
 */
export async function verityDigestOfFd(fd: Fd, algorithm: Algorithm, signal?: AbortSignal): Promise<Buffer> {
  signal?.throwIfAborted();
  const cancelled = new Uint8Array(1);
  const cancel = () => Atomics.store(cancelled, 0, 1);
  signal?.addEventListener('abort', cancel, { once: true });
  try {
    const digest = await native.verityDigestOfFd(fd.number, algorithm, cancelled);
    signal?.throwIfAborted();
    return digest;
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  } finally {
    signal?.removeEventListener('abort', cancel);
  }
}
