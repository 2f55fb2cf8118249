/** Digest algorithm of a repository's objects. */
export type Algorithm = 'sha256' | 'sha512';

/** Length of a digest in bytes. */
export const DIGEST_SIZE: Record<Algorithm, number> = { sha256: 32, sha512: 64 };
