// A file or folder that takes its name only when all of it is there.
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { basename, dirname, resolve } from 'node:path';
import { bytesOf, type ByteString } from '../../../bytes.js';
import { openBelievedDirectory } from '../../../fd/believed-path.js';
import { isErrno, openBeneath, type Fd } from '../../../fd/fd.js';
import { removeTree } from '../../../fd/remove-tree.js';
import { files } from '../../../native.js';

const DIRECTORY = constants.O_RDONLY | constants.O_DIRECTORY;
const RENAME_EXCHANGE = 2;

/** A new folder beside the path. */
export class StagedPath implements Disposable {
  readonly folder: Fd;
  readonly #parent: Fd;
  readonly #name: ByteString;
  readonly #temporary: ByteString;

  /** @throws an error with `code` when the folder above is not there */
  constructor(path: string) {
    const whole = resolve(path);
    this.#name = bytesOf(basename(whole));
    this.#temporary = bytesOf(`.${basename(whole).slice(0, 100)}.${randomBytes(9).toString('hex')}`);
    this.#parent = openBelievedDirectory(bytesOf(dirname(whole)));
    try {
      files.mkdirat(this.#parent.number, this.#temporary, 0o755);
      this.folder = openBeneath(this.#parent, this.#temporary, DIRECTORY);
    } catch (error) {
      using _ = this.#parent;
      removeTree(this.#parent, this.#temporary);
      throw error;
    }
  }

  /** Gives the folder its name; what had it before is removed. */
  async takeName(): Promise<void> {
    await files.syncfs(this.folder.number);
    const { number } = this.#parent;
    try {
      files.renameat2(number, this.#temporary, number, this.#name, RENAME_EXCHANGE);
    } catch (error) {
      if (!isErrno(error, 'ENOENT')) throw error;
      files.renameat2(number, this.#temporary, number, this.#name, 0);
    }
  }

  /** Gives the name to a file in the folder instead. */
  async giveNameTo(file: ByteString): Promise<void> {
    await files.syncfs(this.folder.number);
    files.renameat2(this.folder.number, file, this.#parent.number, this.#name, 0);
  }

  /** Removes what has not got its name, or lost it. */
  [Symbol.dispose](): void {
    try {
      removeTree(this.#parent, this.#temporary);
    } finally {
      this.folder.close();
      this.#parent.close();
    }
  }
}
