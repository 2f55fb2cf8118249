import type { ByteString } from '../bytes.js';
import { CancelFlag } from '../cancel-flag.js';
import type { NativeErrorCode, SystemErrorCode } from '../error-codes.js';
import { ANY_SIZE, OPERATION } from '../layouts.js';
import { loadNative } from '../native.js';
import { LEASE_PAUSE, LEASE_WAIT } from '../limits.js';
import { Fd } from './fd.js';
import { pause } from './readiness.js';

const { sendParts } = loadNative<{
  sendParts(fd: number, position: number, limit: number, ops: Buffer, cancelled: Uint8Array): Promise<number>;
}>();

/** So much is handed to the addon at once: bytes of operations, and files. */
const LENGTH = 128 * 1024;
const FILES = 256;

/** Operations for the addon; see native/socket/part_binding.cc. */
class Operations {
  buffer = Buffer.allocUnsafe(2 * LENGTH);
  length = 0;
  files = 0;
  /** What each part is called, where it has a name. */
  names: (ByteString | undefined)[] = [];
  /** Where each part begins. */
  starts: number[] = [];
  descriptors: { part: number; fd: Fd }[] = [];

  get full(): boolean {
    return this.length >= LENGTH || this.files >= FILES;
  }

  reserve(size: number): number {
    const at = this.length;
    this.starts.push(at);
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
    this.starts = [];
    this.descriptors = [];
  }
}

/** What the addon throws, see native/socket/part_binding.cc: where it stopped, and what it had written until then. */
type SendFailure = Error & { code: PartFailure['code']; part?: number; written?: number };

/**
 * A part could not be written. `entry` is the file's name, where it has one; `ofOutput` says that nothing was wrong
 * with the part.
 */
export class PartFailure extends Error {
  override name = 'PartFailure';

  constructor(
    readonly code: NativeErrorCode | SystemErrorCode,
    message: string,
    readonly entry: ByteString | undefined,
    readonly ofOutput: boolean,
  ) {
    super(message);
  }
}

/**
 * Writes bytes and whole files, one after the other, to a descriptor. Another thread does the writing; the content of
 * files does not come into JavaScript. Dispose it to stop what is under way and close what was not written.
 */
export class PartWriter implements AsyncDisposable {
  readonly #fd: number;
  readonly #start: number | undefined;
  readonly #limit: number;
  readonly #signal: AbortSignal | undefined;
  readonly #cancelled: CancelFlag;
  #next = new Operations();
  #other = new Operations();
  #underWay: Promise<void> = Promise.resolve();
  #written = 0;

  /**
   * @param fd stays the caller's, and open until this is disposed
   * @param options.position where in the file to begin; without it, where the descriptor is
   * @param options.limit most bytes to write
   */
  constructor(fd: number, options: { position?: number; limit?: number; signal?: AbortSignal | undefined } = {}) {
    this.#fd = fd;
    this.#start = options.position;
    this.#limit = options.limit ?? Infinity;
    this.#signal = options.signal;
    this.#cancelled = new CancelFlag(options.signal);
  }

  /** Adds bytes. They are copied. */
  bytes(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    const at = this.#next.reserve(5 + bytes.length);
    const { buffer } = this.#next;
    buffer[at] = OPERATION.bytes;
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
    buffer[at] = OPERATION.named;
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
    buffer[at] = OPERATION.open;
    buffer.writeInt32LE(fd.number, at + 1);
    writeSize(buffer, size, at + 5);
    this.#next.descriptors.push({ part: this.#next.names.length, fd });
    this.#next.names.push(undefined);
    this.#next.files++;
  }

  /**
   * Has what was added written when it is enough, and waits for what was before. To be called after every few parts.
   * @throws PartFailure, with errno's name, `CONTENT_SIZE`, `NOT_A_FILE` or `TOO_MUCH` as its code; the signal's reason
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
    this.#cancelled.set();
    this.#cancelled[Symbol.dispose]();
    await this.#underWay.catch(() => undefined);
    for (const { fd } of this.#next.descriptors) fd.close();
  }

  async #submit(): Promise<void> {
    await this.#underWay;
    const operations = this.#next;
    this.#next = this.#other;
    this.#next.clear();
    this.#other = operations;
    this.#underWay = this.#send(operations);
    // The code that waits for it gets the error.
    this.#underWay.catch(() => undefined);
  }

  async #send({ buffer, length, names, starts, descriptors }: Operations): Promise<void> {
    let first = 0;
    let taken = descriptors.map(({ part, fd }) => ({ part, number: fd.take() }));
    const closeRest = (): void => taken.forEach(({ number }) => new Fd(number).close());
    for (const deadline = performance.now() + LEASE_WAIT; ; ) {
      const position = this.#start === undefined ? -1 : this.#start + this.#written;
      try {
        this.#written += await sendParts(
          this.#fd,
          position,
          Math.min(this.#limit - this.#written, Number.MAX_SAFE_INTEGER),
          buffer.subarray(starts[first], length),
          this.#cancelled.byte,
        );
        return;
      } catch (error) {
        const { code, message, part, written = 0 } = error as SendFailure;
        const at = part === undefined ? undefined : first + part;
        if (code === 'LEASED' && at !== undefined) {
          // From here on the parts are to be written again, their descriptors are ours again.
          this.#written += written;
          first = at;
          taken = taken.filter((other) => other.part >= first);
          if (performance.now() < deadline && !this.#cancelled.isSet) {
            await pause(LEASE_PAUSE);
            continue;
          }
          closeRest();
        }
        this.#signal?.throwIfAborted();
        throw new PartFailure(code, message, at === undefined ? undefined : names[at], at === names.length);
      }
    }
  }
}

function writeSize(buffer: Buffer, size: number | undefined, at: number): void {
  if (size === undefined) {
    buffer.writeBigUInt64LE(ANY_SIZE, at);
  } else {
    buffer.writeUInt32LE(size >>> 0, at);
    buffer.writeUInt32LE(Math.floor(size / 2 ** 32), at + 4);
  }
}
