// Where something is made that nobody knows of yet, and where things go that nobody needs any more. As
// containers-storage has them: a folder `temp-dir-NAME` beside a file `lock-NAME`, which is locked as long as the
// folder is in use.
// Source: containers/storage internal/tempdir.
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import type { ByteString } from '../../bytes.js';
import { debug } from '../../debug.js';
import { isErrno, openBeneath, type Fd } from '../../fd/fd.js';
import { removeTreeInSteps } from '../../fd/remove-tree.js';
import { files } from '../../native.js';
import { removeIfThere } from './atomic-file.js';
import { openOrMakeFolder } from './folders.js';

/** Below `overlay`, and below `overlay-layers`: the folders with all staging folders. */
export const TREES_STAGING = 'tempdirs';
export const LAYERS_STAGING = 'tmp';

const LOCK = 'lock-';
const FOLDER = 'temp-dir-';
const LOCK_FLAGS = constants.O_RDWR | constants.O_CREAT | constants.O_NONBLOCK;

/** A folder in use. Disposing removes it with all that is still in it. */
export class StagingFolder implements AsyncDisposable {
  /** The folder itself. */
  readonly dir: Fd;
  readonly #parent: Fd;
  readonly #name: string;
  readonly #lock: Fd;
  #count = 0;

  private constructor(parent: Fd, name: string, lock: Fd, dir: Fd) {
    this.#parent = parent;
    this.#name = name;
    this.#lock = lock;
    this.dir = dir;
  }

  /**
   * @param above the folder of `name`
   * @param name of the folder with all such folders; made if need be
   * @throws an error with `code` of the system
   */
  static make(above: Fd, name: ByteString): StagingFolder {
    using parent = openOrMakeFolder(above, name, 0o700);
    for (;;) {
      const own = randomBytes(8).toString('hex');
      using lock = openBeneath(parent, `${LOCK}${own}`, LOCK_FLAGS | constants.O_EXCL, 0o600);
      // Between making and locking it, somebody who clears up may have taken it for a forgotten one.
      if (!files.ofdLock(lock.number, 'exclusive') || lock.stat().nlink === 0) continue;
      try {
        files.mkdirat(parent.number, `${FOLDER}${own}`, 0o700);
        using dir = openBeneath(parent, `${FOLDER}${own}`, constants.O_RDONLY | constants.O_DIRECTORY);
        return new StagingFolder(parent.move(), own, lock.move(), dir.move());
      } catch (error) {
        removeIfThere({ dir: parent, name: `${LOCK}${own}` });
        throw error;
      }
    }
  }

  /** A name in the folder for something new. */
  newName(): ByteString {
    return `${this.#count++}-addition`;
  }

  /**
   * Takes something out of the store: it is removed with the folder.
   * @param name that need not be there
   */
  adopt(from: Fd, name: ByteString): void {
    try {
      files.renameat2(from.number, name, this.dir.number, `${this.#count++}-${name}`, 0);
    } catch (error) {
      if (!isErrno(error, 'ENOENT')) throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await removeTreeInSteps(this.#parent, `${FOLDER}${this.#name}`);
      removeIfThere({ dir: this.#parent, name: `${LOCK}${this.#name}` });
    } finally {
      for (const fd of [this.dir, this.#lock, this.#parent]) fd.close();
    }
  }
}

/**
 * Removes what processes that died have left: the folders whose locks nobody holds.
 * @param above the folder of `name`
 * @param name of the folder with all such folders; need not be there
 */
export async function removeForgotten(above: Fd, name: ByteString): Promise<void> {
  let parent: Fd;
  try {
    parent = openBeneath(above, name, constants.O_RDONLY | constants.O_DIRECTORY);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return;
    throw error;
  }
  using _ = parent;
  const names = files.readdir(parent.number).flatMap((entry) => {
    const prefix = [LOCK, FOLDER].find((start) => entry.startsWith(start));
    return prefix === undefined ? [] : [entry.slice(prefix.length)];
  });
  for (const own of new Set(names)) {
    using lock = openBeneath(parent, `${LOCK}${own}`, LOCK_FLAGS, 0o600);
    if (!files.ofdLock(lock.number, 'exclusive')) continue;
    debug(() => `store: removing ${name}/${FOLDER}${own}, which nobody uses`);
    await removeTreeInSteps(parent, `${FOLDER}${own}`);
    removeIfThere({ dir: parent, name: `${LOCK}${own}` });
  }
}
