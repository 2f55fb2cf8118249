import { copyBytes } from '../copy-bytes.js';
import { DIGEST_SIZE, type Algorithm } from './algorithm.js';
import type { ObjectId } from './object-id.js';

/** Many object ids, as raw digests. */
export class Digests {
  /** one after the other; not to be changed */
  readonly bytes: Buffer;
  readonly length: number;
  readonly #size: number;

  /** @param bytes whole digests of that algorithm; not copied */
  constructor(algorithm: Algorithm, bytes: Buffer) {
    this.#size = DIGEST_SIZE[algorithm];
    this.bytes = bytes;
    this.length = bytes.length / this.#size;
  }

  /** The id at `index`, 0 up to `length`. */
  at(index: number): ObjectId {
    return this.bytes.toString('hex', index * this.#size, (index + 1) * this.#size);
  }

  /** Those at these places. */
  pick(places: readonly number[]): Buffer {
    const picked = Buffer.allocUnsafe(places.length * this.#size);
    places.forEach((place, index) => copyBytes(this.bytes, place * this.#size, picked, index * this.#size, this.#size));
    return picked;
  }
}
