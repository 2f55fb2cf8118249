import { randomFillSync } from 'node:crypto';
import { copyBytes } from '../copy-bytes.js';

const FIRST_ROOM = 256;

/**
 * Gives digests of one size numbers, in the order in which they are added. A commit has many; as digits they would take
 * most of the time that goes into one. Memory: some 12 to 24 bytes for each, and up to twice its own size.
 */
export class DigestTable {
  readonly #size: number;
  #bytes: Buffer;
  /** One more than a number, or 0; at least half of them are 0. */
  #slots = new Uint32Array(2 * FIRST_ROOM);
  /** By number. */
  #hashes = new Int32Array(FIRST_ROOM);
  #count = 0;
  /** Others choose the digests: nobody shall know which of them get the same slot. */
  readonly #factors: Int32Array;

  /** @param size bytes of each digest, a multiple of 4 */
  constructor(size: number) {
    this.#size = size;
    this.#bytes = Buffer.allocUnsafe(FIRST_ROOM * size);
    this.#factors = randomFillSync(new Int32Array(size / 4)).map((factor) => factor | 1);
  }

  get count(): number {
    return this.#count;
  }

  /** The digests by number, one after the other. Valid until the next one is added. */
  get bytes(): Buffer {
    return this.#bytes.subarray(0, this.#count * this.#size);
  }

  /** @returns the number of the digest that begins at `at`; a new one gets the former `count` */
  add(bytes: Uint8Array, at: number): number {
    if (this.#count === this.#hashes.length) this.#grow();
    const hash = this.#hash(bytes, at);
    const slot = this.#slotOf(hash, bytes, at);
    const known = this.#slots[slot]!;
    if (known > 0) return known - 1;
    const number = this.#count++;
    this.#slots[slot] = number + 1;
    this.#hashes[number] = hash;
    copyBytes(bytes, at, this.#bytes, number * this.#size, this.#size);
    return number;
  }

  /** @returns the number of a digest, undefined when it was not added */
  find(bytes: Uint8Array, at: number): number | undefined {
    const known = this.#slots[this.#slotOf(this.#hash(bytes, at), bytes, at)]!;
    return known === 0 ? undefined : known - 1;
  }

  /** A digest in lower-case hex. */
  digits(number: number): string {
    return this.#bytes.toString('hex', number * this.#size, (number + 1) * this.#size);
  }

  /** Where the digest is, or would be. */
  #slotOf(hash: number, bytes: Uint8Array, at: number): number {
    const last = this.#slots.length - 1;
    for (let slot = hash & last; ; slot = (slot + 1) & last) {
      const known = this.#slots[slot]!;
      if (known === 0 || (this.#hashes[known - 1] === hash && this.#isAt(known - 1, bytes, at))) return slot;
    }
  }

  #isAt(number: number, bytes: Uint8Array, at: number): boolean {
    const own = number * this.#size;
    for (let i = 0; i < this.#size; i++) if (this.#bytes[own + i] !== bytes[at + i]) return false;
    return true;
  }

  #hash(bytes: Uint8Array, at: number): number {
    let hash = 0;
    for (let i = 0; i < this.#factors.length; i++) {
      const from = at + 4 * i;
      const word = bytes[from]! | (bytes[from + 1]! << 8) | (bytes[from + 2]! << 16) | (bytes[from + 3]! << 24);
      hash = (hash + Math.imul(word, this.#factors[i]!)) | 0;
    }
    // The upper bits are those that depend on all of the words.
    return (hash >>> 12) ^ hash;
  }

  #grow(): void {
    const room = 2 * this.#hashes.length;
    const bytes = Buffer.allocUnsafe(room * this.#size);
    bytes.set(this.#bytes);
    this.#bytes = bytes;
    const hashes = new Int32Array(room);
    hashes.set(this.#hashes);
    this.#hashes = hashes;
    const slots = new Uint32Array(2 * room);
    for (let number = 0; number < this.#count; number++) {
      let slot = hashes[number]! & (slots.length - 1);
      while (slots[slot]! > 0) slot = (slot + 1) & (slots.length - 1);
      slots[slot] = number + 1;
    }
    this.#slots = slots;
  }
}
