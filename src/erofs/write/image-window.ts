/**
 * The part of an image that is being written. It moves over the image from its start to its end; what was not written
 * is zero.
 */
export class ImageWindow {
  bytes: Buffer;
  /** The same bytes. */
  view: DataView;
  /** Offset of the first byte in the image. */
  start = 0;
  /** Offset behind the last one. */
  end: number;

  /** @param size in bytes; it grows for what does not fit */
  constructor(size: number) {
    this.bytes = Buffer.alloc(size);
    this.view = viewOf(this.bytes);
    this.end = size;
  }

  /**
   * Makes `at` to `end` of the image writable.
   * @returns what is before `at`, if anything; to be used before the generator goes on
   */
  *move(at: number, end: number): Generator<Buffer, void> {
    for (; this.end < at; this.#startAt(this.end)) {
      yield this.bytes;
      this.bytes.fill(0);
    }
    if (at > this.start) {
      yield this.bytes.subarray(0, at - this.start);
      this.bytes.fill(0);
    }
    this.#startAt(at);
    if (end <= this.end) return;
    this.bytes = Buffer.alloc(end - at);
    this.view = viewOf(this.bytes);
    this.end = end;
  }

  #startAt(start: number): void {
    this.start = start;
    this.end = start + this.bytes.length;
  }
}

function viewOf(bytes: Buffer): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}
