// From a repository that works without fs-verity to one that requires it, in place.
import type { Abortable } from '../../abortable.js';
import { constants } from 'node:fs';
import { availableParallelism } from 'node:os';
import { BridgeError, NotFoundError } from '../../errors.js';
import { isErrno, type Fd } from '../../fd/fd.js';
import { verityDigestOfFd } from '../../fsverity/digest.js';
import { files, loadNative, type FdNumber } from '../../native.js';
import { INLINE_LIMIT } from '../../layer/entry.js';
import { listDirectory } from '../links.js';
import { replaceMeta, verityUnsupported } from '../meta-file.js';
import { printMeta } from '../meta.js';
import { OBJECTS, pathAmongObjects, pathOfObject } from '../names.js';
import { KERNEL_ALGORITHM, type ObjectId } from '../../fsverity/object-id.js';
import { ObjectStore } from '../objects.js';
import { storeFile } from '../store-content.js';
import { readSmallFile } from '../../fd/read-file.js';
import { readMeta } from '../read-meta.js';
import type { Repository } from '../repository.js';

const { sealFile } = loadNative<{ sealFile(fd: FdNumber, algorithm: number): Promise<Buffer> }>();

const FAN_OUT = /^[0-9a-f]{2}$/;
const PARALLEL = 2 * availableParallelism();
/** How many damaged objects an error names. */
const NAMED_IN_ERROR = 5;
export interface SealOptions extends Abortable {
  /**
   * Also turn fs-verity on for objects that have other names, as files of a containers-storage that were hardlinked.
   * Nobody can change those files then. Otherwise such objects become files of their own.
   */
  sealSource?: boolean;
  /** Is told how many objects are done. */
  onProgress?: (objects: number) => void;
}

export interface SealReport {
  /** objects that got fs-verity as they are */
  sealed: number;
  /** objects that had it */
  present: number;
  /** objects that became files of their own first */
  copied: number;
}

/**
 * Turns fs-verity on for every object and, when all have it and are what they are called, for meta.json, which makes
 * the repository a secure one. Others may use it until then; for the last step it is taken exclusively, and stays so
 * until it is disposed. What an earlier call did that was interrupted is not done again.
 * @param path of the repository, for messages
 * @param repository opened for writing; not to be used afterwards, as it does not know that it is secure
 * @throws BridgeError `VERITY_UNSUPPORTED`; `OBJECTS_DAMAGED` when objects are not what they are called: nothing is
 *   required then
 */
export async function requireVerity(
  repository: Repository,
  path: string,
  options: SealOptions = {},
): Promise<SealReport> {
  const report: SealReport = { sealed: 0, present: 0, copied: 0 };
  if (repository.verityRequired) return report;
  await new Sealing(repository, path, options, report).run();
  await repository.lockExclusive(options);
  checkUnchanged(repository, path);
  // What others stored in the meantime.
  const later: SealReport = { sealed: 0, present: 0, copied: 0 };
  await new Sealing(repository, path, options, later).run();
  report.sealed += later.sealed;
  report.copied += later.copied;
  await repository.sync();
  replaceMeta(repository.root, path, repository.meta, true);
  return report;
}

/**
 * To be called with the repository to ourselves.
 * @throws BridgeError `REPOSITORY_BUSY` when somebody else migrated it, or made it anew, while this process had it open
 */
export function checkUnchanged(repository: Repository, path: string): void {
  const { meta, verity } = readMeta(repository.root, path);
  if (verity !== repository.verityRequired || printMeta(meta) !== printMeta(repository.meta)) {
    throw new BridgeError('REPOSITORY_BUSY', `${path} was migrated by somebody else just now`);
  }
}

class Sealing {
  readonly #damaged: ObjectId[] = [];

  constructor(
    readonly repository: Repository,
    readonly path: string,
    readonly options: SealOptions,
    readonly report: SealReport,
  ) {}

  async run(): Promise<void> {
    using store = new ObjectStore(this.repository.objects.dir.duplicate(), this.repository.algorithm, true);
    const ids = objectIds(this.repository);
    const work = async (): Promise<void> => {
      for (const id of ids) {
        this.options.signal?.throwIfAborted();
        if (!(await this.#seal(store, id))) this.#damaged.push(id);
        this.options.onProgress?.(this.report.sealed + this.report.present + this.report.copied);
      }
    };
    const ended = await Promise.allSettled(Array.from({ length: PARALLEL }, work));
    for (const end of ended) if (end.status === 'rejected') throw end.reason;
    if (this.#damaged.length === 0) return;
    const named = this.#damaged.slice(0, NAMED_IN_ERROR).join(', ');
    throw new BridgeError(
      'OBJECTS_DAMAGED',
      `${this.#damaged.length} objects are not what they are called: ` +
        `${named}${this.#damaged.length > NAMED_IN_ERROR ? ', …' : ''}; a repair mends them, gc removes those that ` +
        'nothing needs',
    );
  }

  /** False when the object is damaged. */
  async #seal(store: ObjectStore, id: ObjectId): Promise<boolean> {
    using file = openObject(this.repository, id);
    if (file === undefined) return true;
    const measured = files.measureVerity(file.number)?.toString('hex');
    if (measured === id) {
      this.report.present++;
      return true;
    }
    if (measured === undefined && (this.options.sealSource === true || file.stat().nlink === 1)) {
      const digest = await this.#trySeal(file);
      if (digest !== undefined) {
        if (digest === id) this.report.sealed++;
        return digest === id;
      }
    }
    return await this.#copy(store, file, id);
  }

  /** The digest the file has then; undefined when somebody may still write to it. */
  async #trySeal(file: Fd): Promise<ObjectId | undefined> {
    try {
      return (await sealFile(file.number, KERNEL_ALGORITHM[this.repository.algorithm])).toString('hex');
    } catch (error) {
      if (isErrno(error, 'ETXTBSY')) return undefined;
      if (isErrno(error, 'ENOTTY', 'EOPNOTSUPP', 'EINVAL')) throw verityUnsupported(this.path);
      throw error;
    }
  }

  /**
   * Stores the content anew, which puts the new file in the place of the old one: that has no fs-verity, or another's.
   */
  async #copy(store: ObjectStore, file: Fd, id: ObjectId): Promise<boolean> {
    const digest = await verityDigestOfFd(file, this.repository.algorithm, this.options);
    if (digest.toString('hex') !== id) return false;
    const { size } = file.stat();
    if (size <= INLINE_LIMIT) await store.put(readSmallFile(file, INLINE_LIMIT));
    else await storeFile(store, file.duplicate(), size);
    this.report.copied++;
    return true;
  }
}

/** Ids of all objects; new ones may be missed. What is not an object is for fsck to find. */
function* objectIds(repository: Repository): Generator<ObjectId> {
  for (const first of listDirectory(repository.root, OBJECTS).filter((name) => FAN_OUT.test(name))) {
    for (const rest of listDirectory(repository.root, pathAmongObjects(first)))
      if (/^[0-9a-f]+$/.test(rest)) yield first + rest;
  }
}

/** Undefined when it is gone by now. */
function openObject({ objects }: Repository, id: ObjectId): Fd | undefined {
  try {
    const file = objects.open(id);
    if ((file.stat().mode & constants.S_IFMT) === constants.S_IFREG) return file;
    file.close();
    throw new BridgeError('OBJECTS_DAMAGED', `${pathOfObject(id)} is no file`);
  } catch (error) {
    if (error instanceof NotFoundError) return undefined;
    throw error;
  }
}
