import { DIGEST_SIZE, type Algorithm } from './algorithm.js';
import { FormatError } from '../errors.js';
export { DIGEST_SIZE, KERNEL_ALGORITHM, type Algorithm } from './algorithm.js';

/** An object's fs-verity digest (4096-byte blocks, no salt) in lower-case hex: 64 or 128 digits. */
export type ObjectId = string;

/**
 * Path of an object below `objects/`: two hex digits, a slash, the rest.
 * @example
 * ```ts
 * import { objectPath } from 'composefs-bridge';
 *
 * console.log(objectPath('5a00ff')); // 5a/00ff
 * ```
 */
export function objectPath(id: ObjectId): string {
  return `${id.slice(0, 2)}/${id.slice(2)}`;
}

/**
 * Reads an id that a person or another program wrote.
 * @throws FormatError `OBJECT_ID` when it is not one of that algorithm
 */
export function parseObjectId(text: string, algorithm: Algorithm): ObjectId {
  const id = text.toLowerCase();
  const digits = 2 * DIGEST_SIZE[algorithm];
  if (id.length !== digits || !/^[0-9a-f]+$/.test(id))
    throw new FormatError('OBJECT_ID', `"${text}" is not a digest of this repository: it takes ${digits} hex digits`);
  return id;
}

/** An id as a raw digest. @throws RangeError when it is not one of that algorithm */
export function digestOf(id: ObjectId, algorithm: Algorithm): Buffer {
  const digest = Buffer.from(id, 'hex');
  const size = DIGEST_SIZE[algorithm];
  if (id.length !== 2 * size || digest.length !== size)
    throw new RangeError(`not an object id of this repository: ${id}`);
  return digest;
}
