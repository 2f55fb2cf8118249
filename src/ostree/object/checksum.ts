import { hash } from 'node:crypto';
import { DigestMismatchError, FormatError } from '../../errors.js';

/** The id of an ostree object: the SHA-256, 64 lower-case hex digits, of its content, for files with their metadata. */
export type Checksum = string;

/** Bytes of an id where it is not written in digits. */
export const ID_SIZE = 32;

/** Whether a text is a whole id, in either case. */
export function isChecksum(text: string): boolean {
  return /^[0-9a-fA-F]{64}$/.test(text);
}

/**
 * @param bytes the 32 bytes that stand for an id in an object
 * @param what says in errors where they are
 * @throws FormatError for any other number of them
 */
export function checksumOf(bytes: Buffer, what: () => string): Checksum {
  if (bytes.length !== ID_SIZE)
    throw new FormatError('OSTREE_OBJECT', `${what()} has an id of ${bytes.length} bytes instead of ${ID_SIZE}`);
  return bytes.toString('hex');
}

/** Whether ids that are not written in digits are the same or, by the sign, which is the lesser one. */
export function compareIds(a: Uint8Array, at: number, b: Uint8Array, from: number): number {
  for (let i = 0; i < ID_SIZE; i++) if (a[at + i] !== b[from + i]) return a[at + i]! - b[from + i]!;
  return 0;
}

/** The id of a commit, dirtree or dirmeta. */
export function sha256(bytes: Uint8Array): Checksum {
  return hash('sha256', bytes, 'hex');
}

/** @throws DigestMismatchError when the bytes are not those of the object */
export function verifyChecksum(bytes: Uint8Array, id: Checksum, what: string): void {
  const actual = sha256(bytes);
  if (actual !== id) throw new DigestMismatchError(`${what} ${id}`, id, actual);
}
