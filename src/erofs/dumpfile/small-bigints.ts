const SLOTS = 1024;

/** Turns numbers into bigints, and gives the same object again for numbers that come often, such as times. */
export class SmallBigInts {
  readonly #numbers = new Float64Array(SLOTS).fill(-1);
  readonly #values = new Array<bigint>(SLOTS).fill(0n);

  /** @param value an integer, 0..2^53-1 */
  get(value: number): bigint {
    const slot = value % SLOTS;
    if (this.#numbers[slot] !== value) {
      this.#numbers[slot] = value;
      this.#values[slot] = BigInt(value);
    }
    return this.#values[slot]!;
  }
}
