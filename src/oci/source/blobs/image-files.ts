import { constants, read } from 'node:fs';
import { promisify } from 'node:util';
import type { ByteString } from '../../../bytes.js';
import { FormatError } from '../../../errors.js';
import type { Fd } from '../../../fd/fd.js';
import { isRootOrSelf } from '../../../fd/peer.js';
import type { ByteSource } from '../../../fd/byte-source.js';
import { readAt } from '../../../fd/read-file.js';

const PIECE_SIZE = 256 * 1024;

const readInto = promisify(read);

/** The files an image consists of, in a folder or in an archive. */
export interface ImageFiles extends Disposable {
  /** What to call it in messages. */
  readonly shown: string;
  /** Whether nobody but root and the caller can have put the files there. */
  readonly trusted: boolean;
  /**
   * Opens a regular file.
   * @param name its path; never leads out of the folder or archive
   * @returns undefined when there is none
   * @throws FormatError when there is something else of that name
   */
  open(name: ByteString): ImageFile | undefined;
}

/** Whether nobody but root and the caller can have written a file, or made what is directly in a folder. */
export function isOnlyOurs(fd: Fd): boolean {
  const { uid, mode } = fd.stat();
  return isRootOrSelf(uid) && (mode & 0o022) === 0;
}

/**
 * Reading from anything else could wait forever or never end.
 * @param what the file in messages
 * @returns its size in bytes
 * @throws FormatError `NOT_A_FILE`
 */
export function checkRegular(fd: Fd, what: string): number {
  const { mode, size } = fd.stat();
  if ((mode & constants.S_IFMT) !== constants.S_IFREG)
    throw new FormatError('NOT_A_FILE', `${what} is not a regular file`);
  return size;
}

/** An open file, or the part of an open archive that a file is. */
export class ImageFile implements Disposable {
  readonly #fd: Fd;
  readonly #start: number;

  /**
   * @param fd is owned by this object from here on
   * @param start where the file begins in it, in bytes
   * @param size in bytes
   */
  constructor(
    fd: Fd,
    start: number,
    readonly size: number,
  ) {
    this.#fd = fd;
    this.#start = start;
  }

  /** Up to `length` bytes from the file's beginning, blocking. */
  head(length: number): Buffer {
    return readAt(this.#fd, this.#start, Math.min(length, this.size));
  }

  /** All of a small file, blocking. @throws FormatError `FILE_TOO_LARGE` beyond `limit` bytes */
  read(limit: number): Buffer {
    if (this.size > limit)
      throw new FormatError('FILE_TOO_LARGE', `file of ${this.size} bytes, at most ${limit} are accepted`);
    return this.head(this.size);
  }

  /** The file's bytes. The file moves into the source, which closes it. */
  source(): ByteSource {
    return new PartSource(this.#fd.move(), this.#start, this.size);
  }

  [Symbol.dispose](): void {
    this.#fd.close();
  }
}

/** A part of a file, for those who can do more with it than read its bytes. */
export interface FilePart {
  fd: Fd;
  /** where it begins, in bytes */
  start: number;
  size: number;
}

/** The bytes of a file, or of the part of an archive that it is. */
export class PartSource implements ByteSource {
  readonly #fd: Fd;
  readonly #start: number;
  readonly #size: number;
  #pending: Promise<unknown> = Promise.resolve();
  #disposed = false;

  constructor(fd: Fd, start: number, size: number) {
    this.#fd = fd;
    this.#start = start;
    this.#size = size;
  }

  /** Gives the file away, instead of its bytes. */
  take(): FilePart {
    this.#disposed = true;
    return { fd: this.#fd.move(), start: this.#start, size: this.#size };
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer, void, void> {
    for (let done = 0; done < this.#size && !this.#disposed; ) {
      const buffer = Buffer.allocUnsafeSlow(Math.min(PIECE_SIZE, this.#size - done));
      const pending = readInto(this.#fd.number, buffer, 0, buffer.length, this.#start + done);
      this.#pending = pending;
      const { bytesRead } = await pending;
      if (bytesRead === 0)
        throw new FormatError('SHORT_FILE', `file became ${this.#size - done} bytes shorter while it was read`, {
          place: { offset: done },
        });
      done += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposed = true;
    // A descriptor number that is closed under a running read may already mean another file.
    await this.#pending.catch(() => undefined);
    this.#fd.close();
  }
}
