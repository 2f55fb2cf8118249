import { randomFillSync } from 'node:crypto';
import { ID_SIZE, type Checksum } from './checksum.js';

const FIRST_ROOM = 256;
const WORDS = ID_SIZE / 4;

/**
 * Gives ids numbers, in the order in which they are added. A commit has many; as digits they would take most of the
 * time that goes into one. Memory: some 40 to 80 bytes for each.
 */
export class IdTable {
  #ids = Buffer.allocUnsafe(FIRST_ROOM * ID_SIZE);
  /** One more than a number, or 0; at least half of them are 0. */
  #slots = new Uint32Array(2 * FIRST_ROOM);
  #count = 0;
  /** Whoever makes a commit chooses the ids in it: nobody shall know which of them get the same slot. */
  readonly #factors = randomFillSync(new Int32Array(WORDS)).map((factor) => factor | 1);

  get count(): number {
    return this.#count;
  }

  /** The ids by number, one after the other. Valid until the next one is added. */
  get bytes(): Buffer {
    return this.#ids.subarray(0, this.#count * ID_SIZE);
  }

  /** @returns the number of the id that begins at `at`; a new one gets the former `count` */
  add(bytes: Uint8Array, at: number): number {
    const slot = this.#slotOf(bytes, at);
    const known = this.#slots[slot]!;
    if (known > 0) return known - 1;
    if (2 * (this.#count + 1) > this.#slots.length) {
      this.#grow();
      return this.add(bytes, at);
    }
    const number = this.#count++;
    this.#slots[slot] = number + 1;
    for (let i = 0, to = number * ID_SIZE; i < ID_SIZE; i++) this.#ids[to + i] = bytes[at + i]!;
    return number;
  }

  /** @returns the number of an id, undefined when it was not added */
  find(bytes: Uint8Array, at: number): number | undefined {
    const known = this.#slots[this.#slotOf(bytes, at)]!;
    return known === 0 ? undefined : known - 1;
  }

  checksum(number: number): Checksum {
    return this.#ids.toString('hex', number * ID_SIZE, (number + 1) * ID_SIZE);
  }

  /** Where the id is, or would be. */
  #slotOf(bytes: Uint8Array, at: number): number {
    const last = this.#slots.length - 1;
    for (let slot = this.#hash(bytes, at) & last; ; slot = (slot + 1) & last) {
      const known = this.#slots[slot]!;
      if (known === 0 || this.#isAt(known - 1, bytes, at)) return slot;
    }
  }

  #isAt(number: number, bytes: Uint8Array, at: number): boolean {
    for (let i = 0, own = number * ID_SIZE; i < ID_SIZE; i++) if (this.#ids[own + i] !== bytes[at + i]) return false;
    return true;
  }

  #hash(bytes: Uint8Array, at: number): number {
    let hash = 0;
    for (let i = 0; i < WORDS; i++) {
      const from = at + 4 * i;
      const word = bytes[from]! | (bytes[from + 1]! << 8) | (bytes[from + 2]! << 16) | (bytes[from + 3]! << 24);
      hash = (hash + Math.imul(word, this.#factors[i]!)) | 0;
    }
    // The upper bits are those that depend on all of the words.
    return (hash >>> 12) ^ hash;
  }

  #grow(): void {
    const ids = Buffer.allocUnsafe(2 * this.#ids.length);
    ids.set(this.#ids);
    this.#ids = ids;
    this.#slots = new Uint32Array(2 * this.#slots.length);
    for (let number = 0; number < this.#count; number++) this.#slots[this.#slotOf(ids, number * ID_SIZE)] = number + 1;
  }
}
