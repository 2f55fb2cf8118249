/** Bytes that are written one after the other, in memory that is doubled when there is more of them. */
export class GrowingBuffer {
  #bytes: Buffer;
  #length = 0;

  /** @param size bytes of memory to begin with */
  constructor(size: number) {
    this.#bytes = Buffer.allocUnsafe(size);
  }

  /** Where to write; another one after `reserve`. */
  get bytes(): Buffer {
    return this.#bytes;
  }

  /** So many bytes were reserved. */
  get length(): number {
    return this.#length;
  }

  /** Makes room for `size` bytes more. @returns where in `bytes` they are to be written */
  reserve(size: number): number {
    const at = this.#length;
    this.#length += size;
    if (this.#length > this.#bytes.length) {
      const larger = Buffer.allocUnsafe(Math.max(this.#length, this.#bytes.length * 2));
      larger.set(this.#bytes.subarray(0, at));
      this.#bytes = larger;
    }
    return at;
  }

  /** All that was written; what is written afterwards begins anew, in the same memory. */
  take(): Buffer {
    const taken = this.#bytes.subarray(0, this.#length);
    this.#length = 0;
    return taken;
  }
}
