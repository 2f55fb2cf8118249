import { SLOT } from '../format/format.js';
import { imageError } from './image-error.js';

/**
 * Remembers which bytes of an image belong to something. Nothing may belong to two: that would let a small
 * image unfold into endless directories.
 */
export class Extents {
  readonly #taken: Uint8Array;
  readonly #imageLength: number;

  constructor(imageLength: number) {
    this.#imageLength = imageLength;
    this.#taken = new Uint8Array(Math.ceil(imageLength / SLOT));
  }

  /**
   * Takes `length` bytes at `offset`, in whole slots of 32 bytes.
   * @throws FormatError EROFS: outside the image, or taken before
   */
  claim(offset: number, length: number, what: string): void {
    if (length > this.#imageLength - offset) throw imageError(`${what} goes beyond the image's end`, offset);
    const first = Math.floor(offset / SLOT);
    const end = Math.ceil((offset + length) / SLOT);
    const used = this.#taken.subarray(first, end);
    if (used.includes(1)) throw imageError(`${what} overlaps something else`, offset);
    used.fill(1);
  }
}
