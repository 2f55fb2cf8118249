import { constants, copyFile } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { FormatError } from '../errors.js';
import type { Fd } from '../fd/fd.js';
import { verityDigest, verityDigestOfFd } from '../fsverity/digest.js';
import type { ObjectId } from '../fsverity/object-id.js';
import type { ObjectStore } from '../repository/objects.js';
import { readContent } from '../repository/read-content.js';
import { readAt } from '../fd/read-file.js';
import type { Regular } from '../tree/tree.js';
import type { BootFiles } from './boot-entry.js';
import type { ReadPart } from './portable-executable.js';

const copy = promisify(copyFile);

/** The files of a tree whose content is in a repository. */
export class StoredFiles implements BootFiles {
  readonly #objects: ObjectStore;

  constructor(objects: ObjectStore) {
    this.#objects = objects;
  }

  /** @throws as `readContent` */
  text(file: Regular): Buffer {
    return readContent(this.#objects, file);
  }

  /** Content of objects is not verified. @throws NotFoundError */
  parts<T>(file: Regular, use: (read: ReadPart) => T): T {
    if (file.content.kind === 'object') {
      using object = this.#objects.open(file.content.id);
      const { size } = object.stat();
      return use((offset, length) => (offset + length > size ? short(size) : readAt(object, offset, length)));
    }
    const bytes = this.text(file);
    return use((offset, length) =>
      offset + length > bytes.length ? short(bytes.length) : bytes.subarray(offset, offset + length),
    );
  }

  /** The digest of a file's content, as fs-verity has it. */
  digest(file: Regular): ObjectId {
    return file.content.kind === 'object'
      ? file.content.id
      : verityDigest(this.text(file), this.#objects.algorithm).toString('hex');
  }

  /**
   * Writes a file's content into a new file, and verifies what was written.
   * @param path where nothing is yet
   * @throws FormatError `OBJECT_DAMAGED`; NotFoundError; the signal's reason
   */
  async copyTo(file: Regular, path: string, open: () => Fd, signal: AbortSignal): Promise<void> {
    if (file.content.kind !== 'object') return writeFile(path, this.text(file), { flag: 'wx', mode: 0o644 });
    using object = this.#objects.open(file.content.id);
    await copy(`/proc/self/fd/${object.number}`, path, constants.COPYFILE_EXCL);
    using written = open();
    if (await this.isContent(written, file, signal)) return;
    throw new FormatError('OBJECT_DAMAGED', `object ${file.content.id} is damaged`);
  }

  /** Whether an open file has the content that a file of the tree should have. */
  async isContent(written: Fd, file: Regular, signal: AbortSignal): Promise<boolean> {
    return (await verityDigestOfFd(written, this.#objects.algorithm, { signal })).toString('hex') === this.digest(file);
  }
}

function short(size: number): never {
  throw new FormatError('SHORT_FILE', 'the file ends too early', { place: { offset: size } });
}
