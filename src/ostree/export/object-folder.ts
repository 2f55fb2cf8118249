import { randomBytes } from 'node:crypto';
import { constants, fchmodSync, writeFileSync } from 'node:fs';
import { bytesOf, type ByteString } from '../../bytes.js';
import { isErrno, openBeneath, openPath, type Fd } from '../../fd/fd.js';
import { files } from '../../native.js';
import type { Checksum } from '../object/checksum.js';

const O_TMPFILE = 0o20000000 | constants.O_DIRECTORY;
const DIRECTORY = constants.O_RDONLY | constants.O_DIRECTORY;

/** The folder of objects of an ostree repository, to be added to. An object is whole or not there. */
export class ObjectFolder {
  readonly #objects: Fd;

  /** @param objects stays the caller's */
  constructor(objects: Fd) {
    this.#objects = objects;
  }

  has(id: Checksum, extension: string): boolean {
    try {
      files.statBeneath(this.#objects.number, `${id.slice(0, 2)}/${nameOf(id, extension)}`);
      return true;
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return false;
      throw error;
    }
  }

  /** Adds a commit, dirtree or dirmeta. */
  put(id: Checksum, extension: string, bytes: Buffer): void {
    if (this.has(id, extension)) return;
    using file = this.create(id);
    writeFileSync(file.number, bytes);
    fchmodSync(file.number, 0o644);
    this.link(file, id, extension);
  }

  /** A file without a name, where the object is to be. */
  create(id: Checksum): Fd {
    using folder = this.#folder(id);
    return openPath(bytesOf(`/proc/self/fd/${folder.number}`), O_TMPFILE | constants.O_RDWR, 0o600);
  }

  /** Gives such a file its name, if no other has it. */
  link(file: Fd, id: Checksum, extension: string): void {
    using folder = this.#folder(id);
    orThere(() => files.linkFd(file.number, folder.number, nameOf(id, extension)));
  }

  /** Makes a symlink under another name, and gives it its own when `finish` is done with it. */
  symlink(id: Checksum, target: ByteString, finish: (folder: Fd, name: ByteString) => void): void {
    using folder = this.#folder(id);
    const name = `.link-${randomBytes(9).toString('hex')}`;
    files.symlinkat(target, folder.number, name);
    try {
      finish(folder, name);
      files.renameat2(folder.number, name, folder.number, nameOf(id, 'file'), 0);
    } catch (error) {
      files.unlinkat(folder.number, name, 0);
      throw error;
    }
  }

  #folder(id: Checksum): Fd {
    const name = id.slice(0, 2);
    orThere(() => files.mkdirat(this.#objects.number, name, 0o755));
    return openBeneath(this.#objects, name, DIRECTORY);
  }
}

function nameOf(id: Checksum, extension: string): ByteString {
  return `${id.slice(2)}.${extension}`;
}

function orThere(make: () => void): void {
  try {
    make();
  } catch (error) {
    if (!isErrno(error, 'EEXIST')) throw error;
  }
}
