import type { ByteString } from '../bytes.js';
import { CancelFlag } from '../cancel-flag.js';
import type { NativeErrorCode, SystemErrorCode } from '../error-codes.js';
import { ANY_SIZE, OPERATION, PUMP_STATE } from '../layouts.js';
import { BridgeError } from '../errors.js';
import { LEASE_PAUSE, LEASE_WAIT } from '../limits.js';
import { loadNative, type FdNumber } from '../native.js';
import type { Fd } from './fd.js';
import { WRITE } from './native-socket.js';
import { pause, Readiness } from './readiness.js';

const { pumpOpen, pumpRun, pumpWritten, pumpDigest, pumpClose } = loadNative<{
  pumpOpen(pipe: FdNumber, hash: boolean): object;
  pumpRun(pump: object, operations: Buffer, cancelled: Uint8Array): Promise<number>;
  pumpWritten(pump: object): number;
  pumpDigest(pump: object): string;
  pumpClose(pump: object): void;
}>();

/** So much is handed to the addon at once: bytes of operations, and files. */
const LENGTH = 256 * 1024;
const FILES = 512;

/** What the addon throws, see native/socket/pump_binding.cc. */
type PumpError = Error & { code: NativeErrorCode | SystemErrorCode; ofOutput?: boolean };

/** A part could not be read, or nothing more can be written: `ofOutput`. */
export class PumpFailure extends Error {
  override name = 'PumpFailure';

  constructor(
    readonly code: NativeErrorCode | SystemErrorCode,
    message: string,
    readonly ofOutput: boolean,
  ) {
    super(message);
  }
}

/**
 * Writes bytes and whole files, one after the other, into a pipe, and hashes them. Another thread does that as long as
 * the reader takes them; for one that does not, the event loop waits, so that any number of readers may sleep. The
 * content of files does not come into JavaScript.
 */
export class PipePump implements AsyncDisposable {
  readonly #pipe: Fd;
  readonly #pump: object;
  readonly #readiness: Readiness;
  readonly #cancelled = new CancelFlag();
  readonly #stop = new AbortController();
  #operations = Buffer.allocUnsafe(LENGTH + LENGTH / 2);
  #length = 0;
  #files = 0;
  #descriptors: Fd[] = [];
  #underWay: Promise<void> = Promise.resolve();
  #idleSince: number | undefined;

  /**
   * @param pipe its write end; becomes this object's, and non-blocking
   * @param options.hash whether `digest` will be asked for
   */
  constructor(pipe: Fd, { hash }: { hash: boolean }) {
    this.#pipe = pipe;
    try {
      this.#pump = pumpOpen(pipe.number, hash);
      this.#readiness = new Readiness(pipe.number);
    } catch (error) {
      pipe.close();
      throw error;
    }
  }

  /** Bytes that the pipe has taken. */
  get written(): number {
    return pumpWritten(this.#pump);
  }

  /** When the reader was found asleep, in the time of `performance.now`; undefined while it reads. */
  get idleSince(): number | undefined {
    return this.#idleSince;
  }

  /** Adds bytes. They are copied. */
  bytes(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    const at = this.#reserve(5 + bytes.length);
    this.#operations[at] = OPERATION.bytes;
    this.#operations.writeUInt32LE(bytes.length, at + 1);
    this.#operations.set(bytes, at + 5);
  }

  /**
   * Adds a file.
   * @param dir stays the caller's, and open until the file is written
   * @param name below it; neither a symlink nor `..` leads out
   * @param size it has to have, in bytes
   */
  named(dir: Fd, name: ByteString, size: number): void {
    const at = this.#reserve(15 + name.length);
    this.#operations[at] = OPERATION.named;
    this.#operations.writeInt32LE(dir.number, at + 1);
    writeNumber(this.#operations, size, at + 5);
    this.#operations.writeUInt16LE(name.length, at + 13);
    this.#operations.write(name, at + 15, 'latin1');
    this.#files++;
  }

  /** Adds an open file, which is this object's from here on. @param size it has to have; any when left out */
  open(fd: Fd, size?: number): void {
    const at = this.#reserve(13);
    this.#operations[at] = OPERATION.open;
    this.#operations.writeInt32LE(fd.number, at + 1);
    writeNumber(this.#operations, size, at + 5);
    this.#descriptors.push(fd);
    this.#files++;
  }

  /** Adds a part of an open file, which is this object's from here on. @param start where it begins, in bytes */
  range(fd: Fd, start: number, size: number): void {
    const at = this.#reserve(21);
    this.#operations[at] = OPERATION.range;
    this.#operations.writeInt32LE(fd.number, at + 1);
    writeNumber(this.#operations, start, at + 5);
    writeNumber(this.#operations, size, at + 13);
    this.#descriptors.push(fd);
    this.#files++;
  }

  /**
   * Has what was added written when it is enough, and waits for what was before. To be called after every few parts.
   * @throws PumpFailure
   */
  async room(): Promise<void> {
    if (this.#length >= LENGTH || this.#files >= FILES) await this.#submit();
  }

  /** Waits until all is in the pipe. @throws PumpFailure */
  async drained(): Promise<void> {
    if (this.#length > 0) await this.#submit();
    await this.#underWay;
  }

  /** SHA-256 of all that was written, in hex; once, after `drained`. */
  digest(): string {
    return pumpDigest(this.#pump);
  }

  /** Ends what is under way, which then throws `reason`. */
  stop(reason: unknown): void {
    this.#cancelled.set();
    this.#stop.abort(reason);
  }

  /** The same, and waits until nothing is read or written any more. */
  async halt(reason: unknown): Promise<void> {
    this.stop(reason);
    await this.#underWay.catch(() => undefined);
  }

  /** Closes the pipe. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#pipe.closed) return;
    await this.halt(new Error('the pump was disposed'));
    pumpClose(this.#pump);
    this.#readiness.close(this.#stop.signal.reason);
    this.#pipe.close();
    for (const fd of this.#descriptors) fd.close();
  }

  #reserve(size: number): number {
    const at = this.#length;
    this.#length += size;
    if (this.#length > this.#operations.length) {
      const larger = Buffer.allocUnsafe(2 * this.#length);
      larger.set(this.#operations.subarray(0, at));
      this.#operations = larger;
    }
    return at;
  }

  async #submit(): Promise<void> {
    await this.#underWay;
    const operations = this.#operations.subarray(0, this.#length);
    for (const fd of this.#descriptors.splice(0)) fd.take();
    this.#length = this.#files = 0;
    // The addon copies them at once.
    this.#underWay = this.#run(operations);
    // The code that waits for it gets the error.
    this.#underWay.catch(() => undefined);
  }

  async #run(operations: Buffer): Promise<void> {
    let next = operations;
    for (let deadline: number | undefined; ; next = operations.subarray(0, 0)) {
      const state = await this.#step(next);
      if (state === PUMP_STATE.done) return;
      if (state === PUMP_STATE.full) {
        deadline = undefined;
        await this.#reader();
        continue;
      }
      deadline ??= performance.now() + LEASE_WAIT;
      if (performance.now() > deadline)
        throw new BridgeError('LEASED', 'another process keeps a lease on a file and does not give it back');
      await pause(LEASE_PAUSE, this.#stop.signal);
    }
  }

  async #step(operations: Buffer): Promise<number> {
    try {
      return await pumpRun(this.#pump, operations, this.#cancelled.byte);
    } catch (error) {
      this.#stop.signal.throwIfAborted();
      const { code, message, ofOutput = false } = error as PumpError;
      throw new PumpFailure(code, message, ofOutput);
    }
  }

  async #reader(): Promise<void> {
    this.#idleSince = performance.now();
    await this.#readiness.wait(WRITE, { signal: this.#stop.signal });
    this.#idleSince = undefined;
  }
}

function writeNumber(buffer: Buffer, value: number | undefined, at: number): void {
  if (value === undefined) {
    buffer.writeBigUInt64LE(ANY_SIZE, at);
  } else {
    buffer.writeUInt32LE(value >>> 0, at);
    buffer.writeUInt32LE(Math.floor(value / 2 ** 32), at + 4);
  }
}
