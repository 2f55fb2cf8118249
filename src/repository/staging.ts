// Where the objects of an import wait for the proof that they may be objects: nobody else can enter, and nothing refers
// to them.
import { constants } from 'node:fs';
import type { ByteString } from '../bytes.js';
import { isErrno, openBeneath, type Fd } from '../fd/fd.js';
import { removeTree } from '../fd/remove-tree.js';
import { files } from '../native.js';
import { stagingName } from './names.js';
import { ObjectStore } from './objects.js';
import type { Repository } from './repository.js';

const DIRECTORY = constants.O_RDONLY | constants.O_DIRECTORY;

export class Staging implements Disposable {
  /** Stores in the staging folder what the repository does not have. */
  readonly objects: ObjectStore;
  readonly #repository: Repository;
  readonly #name: ByteString;
  readonly #folder: Fd;

  static make(repository: Repository): Staging {
    const name = stagingName();
    files.mkdirat(repository.root.number, name, 0o700);
    const folder = openBeneath(repository.root, name, DIRECTORY);
    // Held as long as the descriptor is: a garbage collection leaves the folder alone.
    files.flock(folder.number, 'exclusive');
    return new Staging(repository, name, folder);
  }

  private constructor(repository: Repository, name: ByteString, folder: Fd) {
    this.#repository = repository;
    this.#name = name;
    this.#folder = folder;
    const { objects, algorithm, verityRequired, believedUsers: believed } = repository;
    this.objects = new ObjectStore(objects.dir.duplicate(), algorithm, verityRequired, { believed, staging: folder });
  }

  /** Makes everything that waits an object of the repository. */
  async land(): Promise<void> {
    await this.#repository.objects.land(this.#folder);
  }

  /** Removes what still waits. Ingests must have ended. */
  [Symbol.dispose](): void {
    this.objects[Symbol.dispose]();
    removeTree(this.#repository.root, this.#name);
    this.#folder.close();
  }
}

/** Whether an import that goes on uses a staging folder. */
export function isInUse(root: Fd, name: ByteString): boolean {
  try {
    using folder = openBeneath(root, name, DIRECTORY);
    return !files.flock(folder.number, 'exclusive');
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR', 'ELOOP')) return true;
    throw error;
  }
}
