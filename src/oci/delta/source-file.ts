import { read } from 'node:fs';
import { promisify } from 'node:util';
import { FormatError } from '../../errors.js';
import type { Fd } from '../../fd/fd.js';
import type { ObjectId } from '../../fsverity/object-id.js';
import type { ObjectStore } from '../../repository/objects.js';
import type { Regular } from '../../tree/tree.js';

const readAt = promisify(read);

const PIECE_SIZE = 256 * 1024;
const EMPTY = Buffer.alloc(0);

/** A file of the image that is changed. It is opened when it is read. */
export class SourceFile implements Disposable {
  /** in bytes */
  readonly size: number;
  /** undefined when its content is in the image */
  readonly object: ObjectId | undefined;
  readonly #objects: ObjectStore;
  #fd: Fd | undefined;
  /** Bytes that are in memory, and where in the file they begin. */
  #window: Buffer;
  #start = 0;

  /** @throws FormatError `CONTENT_UNKNOWN` for a file whose content nobody knows */
  constructor({ content }: Regular, objects: ObjectStore) {
    if (content.kind === 'external')
      throw new FormatError('CONTENT_UNKNOWN', 'a file has to be read whose object is not known');
    this.#objects = objects;
    this.#window = content.kind === 'inline' ? content.bytes : EMPTY;
    this.object = content.kind === 'object' ? content.id : undefined;
    this.size = content.kind === 'object' ? Number(content.size) : this.#window.length;
  }

  /** @throws FormatError `TAR_DIFF` when the file does not have these bytes */
  check(position: number, length: number): void {
    if (length <= this.size - position) return;
    throw new FormatError(
      'TAR_DIFF',
      `${length} bytes at ${position} are to be read of a file that has ${this.size} bytes`,
    );
  }

  /** Bytes that are in memory, valid until the next call; undefined when they are not, or not all of them. */
  inMemory(position: number, length: number): Buffer | undefined {
    const from = position - this.#start;
    return from >= 0 && from + length <= this.#window.length ? this.#window.subarray(from, from + length) : undefined;
  }

  /**
   * The same, read when they are not.
   * @param length at most 256 KiB
   * @throws what opening an object throws; FormatError `SHORT_FILE`
   */
  async bytes(position: number, length: number): Promise<Buffer> {
    const there = this.inMemory(position, length);
    if (there !== undefined) return there;
    const window = Buffer.allocUnsafeSlow(Math.min(Math.max(PIECE_SIZE, length), this.size - position));
    await this.#read(window, position);
    this.#window = window;
    this.#start = position;
    return window.subarray(0, length);
  }

  /** Pieces of the content, which are the caller's. @throws as `bytes` */
  async *pieces(position: number, length: number): AsyncGenerator<Buffer, void, void> {
    for (let done = 0; done < length; ) {
      const piece = Buffer.allocUnsafeSlow(Math.min(PIECE_SIZE, length - done));
      await this.#read(piece, position + done);
      done += piece.length;
      yield piece;
    }
  }

  /** Its object, open. @throws as `ObjectStore.open`; FormatError when the object has another size */
  open(): Fd {
    if (this.#fd !== undefined) return this.#fd;
    using fd = this.#objects.open(this.object!);
    const { size } = fd.stat();
    if (size !== this.size)
      throw new FormatError('SHORT_FILE', `object ${this.object} has ${size} bytes instead of ${this.size}`);
    this.#fd = fd.move();
    return this.#fd;
  }

  [Symbol.dispose](): void {
    this.#fd?.close();
  }

  async #read(into: Buffer, position: number): Promise<void> {
    if (this.object === undefined) {
      this.#window.copy(into, 0, position);
      return;
    }
    const fd = this.open();
    for (let done = 0; done < into.length; ) {
      const { bytesRead } = await readAt(fd.number, into, done, into.length - done, position + done);
      if (bytesRead === 0) throw new FormatError('SHORT_FILE', `object ${this.object} ended early`);
      done += bytesRead;
    }
  }
}
