/** Digest algorithm of a repository's objects. */
export type Algorithm = 'sha256' | 'sha512';

/** An object's fs-verity digest (4096-byte blocks, no salt) in lower-case hex: 64 or 128 digits. */
export type ObjectId = string;

export const DIGEST_SIZE: Record<Algorithm, number> = { sha256: 32, sha512: 64 };

/** Path of an object below `objects/`: two hex digits, a slash, the rest. */
export function objectPath(id: ObjectId): string {
  return `${id.slice(0, 2)}/${id.slice(2)}`;
}
