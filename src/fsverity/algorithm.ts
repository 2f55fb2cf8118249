/** Digest algorithm of a repository's objects. */
export type Algorithm = 'sha256' | 'sha512';

/** Length of a digest in bytes. */
export const DIGEST_SIZE: Record<Algorithm, number> = { sha256: 32, sha512: 64 };

/** The kernel's numbers of the algorithms (FS_VERITY_HASH_ALG_*, linux/fsverity.h). */
export const KERNEL_ALGORITHM: Record<Algorithm, number> = { sha256: 1, sha512: 2 };
