import type { ByteString } from '../bytes.js';
import { loadNative } from '../native.js';
import type { Fd } from './fd.js';

const { sendParts } = loadNative<{ sendParts(fd: number, position: number, ops: Buffer, cancelled: Uint8Array): Promise<number> }>();

const BYTES = 0;
const NAMED = 1;
const OPEN = 2;
const ANY_SIZE = 0xffff_ffff;

/** So much is handed to the addon at once: bytes of operations, and files. */
const LENGTH = 128 * 1024;
const FILES = 256;

/** Operations for the addon; see native/part_binding.cc. */
class Operations {
  buffer = Buffer.allocUnsafe(2 * LENGTH);
  length = 0;
  files = 0;
  /** What each part is called, where it has a name. */
  names: (ByteString | undefined)[] = [];
  descriptors: Fd[] = [];

  get full(): boolean {
    return this.length >= LENGTH || this.files >= FILES;
  }

  reserve(size: number): number {
    const at = this.length;
    this.length += size;
    if (this.length > this.buffer.length) {
      const larger = Buffer.allocUnsafe(2 * this.length);
      larger.set(this.buffer.subarray(0, at));
      this.buffer = larger;
    }
    return at;
  }

  clear(): void {
    this.length = this.files = 0;
    this.names = [];
    this.descriptors = [];
  }
}

/** A part could not be written. `entry` is the file's name, where it has one. */
export class PartFailure extends Error {
  override name = 'PartFailure';

  constructor(
    readonly code: string,
    message: string,
    readonly entry: ByteString | undefined,
  ) {
    super(message);
  }
}

/**
 * Writes bytes and whole files, one after the other, to a descriptor. Another thread does the writing; the content of files does not
 * come into JavaScript. Dispose it to stop what is under way and close what was not written.
 */
export class PartWriter implements AsyncDisposable {
  readonly #fd: number;
  readonly #start: number | undefined;
  readonly #signal: AbortSignal | undefined;
  readonly #cancelled = new Uint8Array(1);
  #next = new Operations();
  #other = new Operations();
  #underWay: Promise<void> = Promise.resolve();
  #written = 0;

  /**
   * @param fd stays the caller's, and open until this is disposed
   * @param position where in the file to begin; without it, where the descriptor is
   */
  constructor(fd: number, options: { position?: number; signal?: AbortSignal | undefined } = {}) {
    this.#fd = fd;
    this.#start = options.position;
    this.#signal = options.signal;
    this.#signal?.addEventListener('abort', this.#cancel);
  }

  /** Adds bytes. They are copied. */
  bytes(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    const at = this.#next.reserve(5 + bytes.length);
    const { buffer } = this.#next;
    buffer[at] = BYTES;
    buffer.writeUInt32LE(bytes.length, at + 1);
    buffer.set(bytes, at + 5);
    this.#next.names.push(undefined);
  }

  /**
   * Adds a file.
   * @param dir stays the caller's, and open until the file is written
   * @param name below it; neither a symlink nor `..` leads out
   * @param size it has to have, in bytes; any when left out
   */
  named(dir: Fd, name: ByteString, size?: number): void {
    const at = this.#next.reserve(15 + name.length);
    const { buffer } = this.#next;
    buffer[at] = NAMED;
    buffer.writeInt32LE(dir.number, at + 1);
    writeSize(buffer, size, at + 5);
    buffer.writeUInt16LE(name.length, at + 13);
    buffer.write(name, at + 15, 'latin1');
    this.#next.names.push(name);
    this.#next.files++;
  }

  /** Adds an open file, which is this object's from here on. */
  open(fd: Fd, size?: number): void {
    const at = this.#next.reserve(13);
    const { buffer } = this.#next;
    buffer[at] = OPEN;
    buffer.writeInt32LE(fd.number, at + 1);
    writeSize(buffer, size, at + 5);
    this.#next.names.push(undefined);
    this.#next.descriptors.push(fd);
    this.#next.files++;
  }

  /**
   * Has what was added written when it is enough, and waits for what was before. To be called after every few parts.
   * @throws PartFailure, with errno's name, `CONTENT_SIZE` or `NOT_A_FILE` as its code; the signal's reason
   */
  async pause(): Promise<void> {
    this.#signal?.throwIfAborted();
    if (this.#next.full) await this.#submit();
  }

  /**
   * Waits until all is written.
   * @returns the number of bytes
   * @throws as `pause` does
   */
  async end(): Promise<number> {
    await this.#submit();
    await this.#underWay;
    return this.#written;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#cancel();
    this.#signal?.removeEventListener('abort', this.#cancel);
    await this.#underWay.catch(() => undefined);
    for (const fd of this.#next.descriptors) fd.close();
  }

  readonly #cancel = (): void => {
    this.#cancelled[0] = 1;
  };

  async #submit(): Promise<void> {
    await this.#underWay;
    const operations = this.#next;
    this.#next = this.#other;
    this.#next.clear();
    this.#other = operations;
    this.#underWay = this.#send(operations);
    // Whoever waits for it hears of it.
    this.#underWay.catch(() => undefined);
  }

  async #send({ buffer, length, names, descriptors }: Operations): Promise<void> {
    for (const fd of descriptors) fd.take();
    const position = this.#start === undefined ? -1 : this.#start + this.#written;
    try {
      this.#written += await sendParts(this.#fd, position, buffer.subarray(0, length), this.#cancelled);
    } catch (error) {
      this.#signal?.throwIfAborted();
      const { code, message, part } = error as Error & { code: string; part?: number };
      throw new PartFailure(code, message, part === undefined ? undefined : names[part]);
    }
  }
}

function writeSize(buffer: Buffer, size: number | undefined, at: number): void {
  buffer.writeUInt32LE(size === undefined ? ANY_SIZE : size >>> 0, at);
  buffer.writeUInt32LE(size === undefined ? ANY_SIZE : Math.floor(size / 2 ** 32), at + 4);
}
