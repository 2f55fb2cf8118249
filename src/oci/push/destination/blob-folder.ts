// A folder that blobs are written to, each under its name only when all of it is there and right.
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { bytesOf, type ByteString } from '../../../bytes.js';
import { isErrno, openBeneath, type Fd } from '../../../fd/fd.js';
import { writeAll } from '../../../fd/write-all.js';
import { files } from '../../../native.js';
import { makeDirectories } from '../../../repository/links.js';
import type { OutgoingBlob } from '../outgoing-blob.js';
import type { BlobOutcome } from '../types.js';
import type { BlobWatch } from './destination.js';

const NEW_FILE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL;
const FILE_MODE = 0o644;

export class BlobFolder {
  readonly root: Fd;
  readonly #nameOf: (digest: string) => ByteString;

  /**
   * @param root stays the caller's
   * @param nameOf where a blob belongs, as a path below the folder, whose own folders are there
   */
  constructor(root: Fd, nameOf: (digest: string) => ByteString) {
    this.root = root;
    this.#nameOf = nameOf;
  }

  /** Whether a blob is there; one of another size is not it. */
  has({ digest, size }: { digest: string; size: number }): boolean {
    try {
      const { mode, size: found } = files.statBeneath(this.root.number, this.#nameOf(digest));
      return (mode & constants.S_IFMT) === constants.S_IFREG && found === size;
    } catch (error) {
      if (isErrno(error, 'ENOENT', 'ELOOP', 'ENOTDIR')) return false;
      throw error;
    }
  }

  async put(blob: OutgoingBlob, watch: BlobWatch, signal: AbortSignal): Promise<BlobOutcome> {
    if (blob.facts !== undefined && this.has(blob.facts)) return 'present';
    await this.#write(async (file) => {
      let at = 0;
      for await (const piece of blob.open(0)) {
        signal.throwIfAborted();
        at += await writeAll(file, piece, at);
        watch.onProgress(at, at);
      }
      if (blob.facts === undefined) throw new Error(`blob ${blob.name} was not read to its end`);
      return this.#nameOf(blob.facts.digest);
    });
    return 'sent';
  }

  /** Writes a small file; whoever looks sees the old one or the new one. */
  async writeFile(path: ByteString, bytes: Buffer | string): Promise<void> {
    await this.#write(async (file) => {
      await writeAll(file, Buffer.from(bytes), 0);
      return path;
    });
  }

  /** @param fill writes the file and says what it is called */
  async #write(fill: (file: Fd) => Promise<ByteString>): Promise<void> {
    const temporary = bytesOf(`.tmp-${randomBytes(9).toString('hex')}`);
    try {
      using file = openBeneath(this.root, temporary, NEW_FILE, FILE_MODE);
      this.#rename(temporary, await fill(file));
    } catch (error) {
      removeIfThere(this.root, temporary);
      throw error;
    }
  }

  #rename(name: ByteString, path: ByteString): void {
    const slash = path.lastIndexOf('/');
    using to = makeDirectories(this.root, path.slice(0, Math.max(slash, 0)));
    files.renameat2(this.root.number, name, to.number, path.slice(slash + 1), 0);
  }
}

function removeIfThere(folder: Fd, name: ByteString): void {
  try {
    files.unlinkat(folder.number, name, 0);
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw error;
  }
}
