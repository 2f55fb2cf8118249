export { DIGEST_SIZE, KERNEL_ALGORITHM, type Algorithm } from '../fsverity/algorithm.js';

/** An object's fs-verity digest (4096-byte blocks, no salt) in lower-case hex: 64 or 128 digits. */
export type ObjectId = string;

/** Path of an object below `objects/`: two hex digits, a slash, the rest. */
export function objectPath(id: ObjectId): string {
  return `${id.slice(0, 2)}/${id.slice(2)}`;
}
