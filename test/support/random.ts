import { createHash } from 'node:crypto';

/** Repeatable random numbers (xorshift), so that a failing case fails again. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed;
  }

  /** A whole number from 0 to `most`, both included. */
  upTo(most: number): number {
    this.#state ^= this.#state << 13;
    this.#state ^= this.#state >>> 17;
    this.#state ^= this.#state << 5;
    return (this.#state >>> 0) % (most + 1);
  }

  /** Cuts `length` bytes into random pieces. */
  pieces(length: number): Uint32Array {
    const pieces: number[] = [];
    for (let left = length; left > 0; ) {
      const piece = this.upTo(Math.min(left, this.upTo(3) === 0 ? 200_000 : 5000));
      pieces.push(piece);
      left -= piece;
    }
    return Uint32Array.from(pieces);
  }
}

/** Bytes without a pattern that a wrong order of blocks could hide behind. */
export function noise(length: number, seed: string): Buffer {
  return createHash('shake128', { outputLength: length }).update(seed).digest();
}
