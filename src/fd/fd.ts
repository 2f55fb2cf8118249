import { constants } from 'node:fs';
import type { ByteString } from '../bytes.js';
import type { SystemErrorCode } from '../error-codes.js';
import { AT_FDCWD, files, type FdNumber, type FileStat } from '../native.js';

/** openat2(2) resolve flags. */
export const RESOLVE_NO_XDEV = 0x01;
export const RESOLVE_NO_MAGICLINKS = 0x02;
export const RESOLVE_NO_SYMLINKS = 0x04;
export const RESOLVE_BENEATH = 0x08;

/** open(2) flag that Node does not name: a descriptor that stands for a file, and does not give access to it. */
export const O_PATH = 0o10000000;

/** The kernel's numbers are C ints; a larger one would be cut to another descriptor's. */
const NUMBER_MAX = 2 ** 31 - 1;

/**
 * An open file descriptor with exactly one owner. Closing twice is harmless, using it after
 * it was closed or taken is an error. `using fd = …` closes it on every path out of the block.
 */
export class Fd implements Disposable {
  #number: number;

  /**
   * Takes ownership of `number`, an open descriptor that nobody else will close.
   * @throws TypeError for what can be no descriptor
   */
  constructor(number: number) {
    if (!Number.isInteger(number) || number < 0 || number > NUMBER_MAX)
      throw new TypeError(`not a file descriptor: ${number}`);
    this.#number = number;
  }

  /** The descriptor number, for system calls. Throws when this object no longer owns one. */
  get number(): FdNumber {
    if (this.#number < 0) throw new Error('this descriptor was closed or given away');
    return this.#number as FdNumber;
  }

  get closed(): boolean {
    return this.#number < 0;
  }

  /** Gives the descriptor away: the caller owns the returned number, this object owns nothing. */
  take(): FdNumber {
    const { number } = this;
    this.#number = -1;
    return number;
  }

  /** Moves ownership into a new object, for handing on from a `using` block. */
  move(): Fd {
    return new Fd(this.take());
  }

  /** A second descriptor for the same open file, close-on-exec. */
  duplicate(): Fd {
    return new Fd(files.dupCloexec(this.number));
  }

  stat(): FileStat {
    return files.fstatat(this.number, '');
  }

  close(): void {
    if (this.#number >= 0) files.close(this.take());
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/**
 * Opens a path the user named. Symlinks are followed.
 * @param flags open(2) flags; close-on-exec is always added
 * @throws an error with `code`, like Node's fs
 */
export function openPath(path: ByteString, flags: number = constants.O_RDONLY, mode = 0): Fd {
  return new Fd(files.openat2(AT_FDCWD, path, flags, mode, 0));
}

/** Opens a directory by its absolute path. */
export type OpenDir = (path: ByteString) => Fd;

/** Opens a directory the user named. @throws an error with `code`, like Node's fs */
export const openDirectoryPath: OpenDir = (path) => openPath(path, constants.O_RDONLY | constants.O_DIRECTORY);

/**
 * Opens a name that came from outside, below a directory: it can neither leave the directory nor pass
 * through a symlink. Extra `resolve` flags may be added.
 */
export function openBeneath(dir: Fd, name: ByteString, flags: number = constants.O_RDONLY, mode = 0, resolve = 0): Fd {
  const guarded = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | resolve;
  return new Fd(files.openat2(dir.number, name, flags, mode, guarded));
}

/** Opens a name below a directory, following symlinks only as long as they stay beneath it. */
export function openIn(dir: Fd, name: ByteString, flags: number = constants.O_RDONLY, mode = 0): Fd {
  return new Fd(files.openat2(dir.number, name, flags, mode, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS));
}

export function isErrno(error: unknown, ...codes: SystemErrorCode[]): boolean {
  return error instanceof Error && 'code' in error && codes.includes(error.code as SystemErrorCode);
}
