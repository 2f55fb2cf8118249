import type { ByteString } from '../bytes.js';
import type { Fd } from '../fd/fd.js';
import { GrowingBuffer } from '../growing-buffer.js';
import { OPERATION } from '../layouts.js';

/**
 * Operations on one layer, collected for a single call into the addon. Everything is in tar order.
 * Each `named`, `open`, `memory`, `deflated`, `deflatedFile` and `dataEnd` yields one result, in the same order.
 */
export class Batch {
  readonly #out = new GrowingBuffer(256 * 1024);
  #files = 0;
  #descriptors: Fd[] = [];

  /** Encoded size so far, in bytes; a batch is worth sending from a few hundred kilobytes or files on. */
  get length(): number {
    return this.#out.length;
  }

  get files(): number {
    return this.#files;
  }

  /** Tar bytes that are no file's content, or content that stays inline. */
  bytes(bytes: Buffer): void {
    const at = this.#out.reserve(5 + bytes.length);
    this.#out.bytes[at] = OPERATION.bytes;
    this.#out.bytes.writeUInt32LE(bytes.length, at + 1);
    this.#out.bytes.set(bytes, at + 5);
  }

  /** A file of `size` bytes (> 0) called `name` below `dir`; `dir` must stay open until the batch is done. */
  named(dir: Fd, name: ByteString, size: number): void {
    const at = this.#out.reserve(15 + name.length);
    this.#out.bytes[at] = OPERATION.named;
    this.#out.bytes.writeInt32LE(dir.number, at + 1);
    writeSize(this.#out.bytes, size, at + 5);
    this.#out.bytes.writeUInt16LE(name.length, at + 13);
    this.#out.bytes.write(name, at + 15, 'latin1');
    this.#files++;
  }

  /** An open file of `size` bytes (> 0); the batch owns `fd` from here on. */
  open(fd: Fd, size: number): void {
    const at = this.#out.reserve(13);
    this.#out.bytes[at] = OPERATION.open;
    this.#out.bytes.writeInt32LE(fd.number, at + 1);
    writeSize(this.#out.bytes, size, at + 5);
    this.#descriptors.push(fd);
    this.#files++;
  }

  /** The whole content of one file, of more than INLINE_LIMIT bytes. */
  memory(content: Buffer): void {
    const at = this.#out.reserve(5 + content.length);
    this.#out.bytes[at] = OPERATION.memory;
    this.#out.bytes.writeUInt32LE(content.length, at + 1);
    this.#out.bytes.set(content, at + 5);
    this.#files++;
  }

  /** The same, of `size` bytes (> 0), at most `INFLATABLE`, as deflate data without a header. */
  deflated(data: Buffer, size: number): void {
    const at = this.#out.reserve(13 + data.length);
    this.#out.bytes[at] = OPERATION.deflated;
    writeSize(this.#out.bytes, size, at + 1);
    this.#out.bytes.writeUInt32LE(data.length, at + 9);
    this.#out.bytes.set(data, at + 13);
    this.#files++;
  }

  /** The same, with the data in a file from `start` on, `length` bytes; the batch owns `fd` from here on. */
  deflatedFile(fd: Fd, start: number, length: number, size: number): void {
    const at = this.#out.reserve(25);
    this.#out.bytes[at] = OPERATION.deflatedFile;
    writeSize(this.#out.bytes, size, at + 1);
    this.#out.bytes.writeInt32LE(fd.number, at + 9);
    writeSize(this.#out.bytes, start, at + 13);
    this.#out.bytes.writeUInt32LE(length, at + 21);
    this.#descriptors.push(fd);
    this.#files++;
  }

  /** Behind a file: its result says the SHA-256 of all that came since the last digest. */
  digest(): void {
    const at = this.#out.reserve(1);
    this.#out.bytes[at] = OPERATION.digest;
  }

  /** Starts one file's content that comes in pieces: `data` calls adding up to `size`, then `dataEnd`. */
  dataBegin(size: number): void {
    const at = this.#out.reserve(9);
    this.#out.bytes[at] = OPERATION.dataBegin;
    writeSize(this.#out.bytes, size, at + 1);
  }

  data(piece: Buffer): void {
    const at = this.#out.reserve(5 + piece.length);
    this.#out.bytes[at] = OPERATION.data;
    this.#out.bytes.writeUInt32LE(piece.length, at + 1);
    this.#out.bytes.set(piece, at + 5);
  }

  dataEnd(): void {
    const at = this.#out.reserve(1);
    this.#out.bytes[at] = OPERATION.dataEnd;
    this.#files++;
  }

  /** What is written about the layer, only for what unpacks one, as the next two. */
  text(text: ByteString): void {
    const at = this.#out.reserve(5 + text.length);
    this.#out.bytes[at] = OPERATION.text;
    this.#out.bytes.writeUInt32LE(text.length, at + 1);
    this.#out.bytes.write(text, at + 5, 'latin1');
  }

  /** In the text come, in base64, all `bytes` since the segment before it. */
  segment(): void {
    this.#out.bytes[this.#out.reserve(1)] = OPERATION.segment;
  }

  /** In the text comes, in base64, the CRC-64 of the content before it. */
  checksum(): void {
    this.#out.bytes[this.#out.reserve(1)] = OPERATION.checksum;
  }

  /**
   * What to do with an entry of the tar, `size` bytes behind the kind; only for what unpacks a layer.
   * @returns where to write them, before the next operation is added
   */
  entry(size: number): { bytes: Buffer; at: number } {
    const at = this.#out.reserve(1 + size);
    this.#out.bytes[at] = OPERATION.entry;
    return { bytes: this.#out.bytes, at: at + 1 };
  }

  /**
   * Hands the encoded operations and the descriptors in them over, and starts anew. The bytes are valid until the next
   * operation is added.
   */
  take(): Buffer {
    for (const fd of this.#descriptors) fd.take();
    this.#descriptors = [];
    this.#files = 0;
    return this.#out.take();
  }

  /** Closes the descriptors of a batch that is not going to be sent. */
  discard(): void {
    for (const fd of this.#descriptors) fd.close();
    this.#descriptors = [];
  }
}

function writeSize(buffer: Buffer, size: number, at: number): void {
  buffer.writeUInt32LE(size >>> 0, at);
  buffer.writeUInt32LE(Math.floor(size / 2 ** 32), at + 4);
}
