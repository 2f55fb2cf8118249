// Checks a repository without changing it: object digests, names, splitstreams and what they refer to, images.
import { constants } from 'node:fs';
import type { ByteString } from '../bytes.js';
import { showBytes } from '../bytes.js';
import { imageReferences } from '../erofs/image-objects.js';
import { isErrno, openIn, type Fd } from '../fd/fd.js';
import { checkObjects, listObjectNames, type ObjectNames } from './fsck-objects.js';
import { FsckReport, type FsckCount } from './fsck-report.js';
import { entryType, listDirectory, parseObjectTarget, readLink } from './links.js';
import { DIGEST_SIZE, type ObjectId } from './object-id.js';
import { readSmallFile } from './read-file.js';
import type { Area, Repository } from './repository.js';

/** Longest EROFS image that is read to check it, in bytes. */
const IMAGE_LIMIT = 2 ** 31 - 1;

export interface FsckOptions {
  /** Leave out the digests of objects, which takes nearly all of the time. */
  metadataOnly?: boolean;
  signal?: AbortSignal;
}

/** Checks a whole repository. What is wrong is in the report; only an abort or a failure of the machine is thrown. */
export async function fsckRepository(repository: Repository, options: FsckOptions = {}): Promise<FsckReport> {
  const objects = new FsckReport();
  const names = new FsckReport();
  const stop = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, stop.signal]) : stop.signal;
  // Other threads read the objects while this one goes through the names.
  const present = await listObjectNames(repository, signal);
  const checked = options.metadataOnly === true ? undefined : checkObjects(repository, present, objects, signal);
  checked?.catch(() => undefined);
  try {
    const links = new LinkCheck(repository, present, names);
    await links.checkArea('streams', names.streams, (id, path) => links.checkStream(id, path), signal);
    await links.checkArea('images', names.images, (id, path) => links.checkImage(id, path), signal);
  } catch (error) {
    stop.abort(error);
    throw error;
  } finally {
    await checked?.catch(() => undefined);
  }
  await checked;
  return objects.followedBy(names);
}

class LinkCheck {
  readonly #repository: Repository;
  readonly #present: ObjectNames;
  readonly #report: FsckReport;

  constructor(repository: Repository, present: ObjectNames, report: FsckReport) {
    this.#repository = repository;
    this.#present = present;
    this.#report = report;
  }

  /** Checks the names of an area and then its refs. `checkTarget` says whether the object behind a name is sound. */
  async checkArea(area: Area, count: FsckCount, checkTarget: (id: ObjectId, path: ByteString) => boolean, signal?: AbortSignal): Promise<void> {
    for (const name of this.#list(area).filter((name) => name !== 'refs')) {
      signal?.throwIfAborted();
      // One stream or image is a few milliseconds: others get their turn in between.
      await new Promise(setImmediate);
      count.checked++;
      if (!this.#checkEntry(`${area}/${name}`, checkTarget)) count.corrupted++;
    }
    this.#checkRefs(`${area}/refs`);
  }

  checkStream(id: ObjectId, path: ByteString): boolean {
    try {
      using reader = this.#repository.openStream(id);
      for (const ref of this.#present.missing(reader.objectDigests)) this.#missing('missing-object-ref', path, ref);
      for (const [name, ref] of reader.namedRefs) {
        if (!this.#present.has(ref)) this.#missing('missing-named-ref', path, `ref ${name}: ${ref}`);
      }
      return true;
    } catch (error) {
      this.#report.add('stream-open-failed', path, `Opening stream '${showBytes(path.slice('streams/'.length))}': ${messageOf(error)}`);
      return false;
    }
  }

  checkImage(id: ObjectId, path: ByteString): boolean {
    let bytes: Buffer;
    try {
      using fd = this.#repository.objects.open(id);
      bytes = readSmallFile(fd, IMAGE_LIMIT);
    } catch (error) {
      this.#report.add('image-read-failed', path, messageOf(error));
      return false;
    }
    try {
      const missing = new Set<ObjectId>();
      const others = imageReferences(bytes, DIGEST_SIZE[this.#repository.algorithm], (digests) => this.#present.missing(digests).forEach((id) => missing.add(id)));
      for (const ref of [...new Set([...missing, ...others])].sort()) this.#missing('image-missing-object', path, ref);
      return true;
    } catch (error) {
      this.#report.add('image-invalid', path, messageOf(error));
      return false;
    }
  }

  #checkEntry(path: ByteString, checkTarget: (id: ObjectId, path: ByteString) => boolean): boolean {
    const root = this.#repository.root;
    if (entryType(root, path) !== constants.S_IFLNK) {
      this.#report.add('entry-not-symlink', path);
      return false;
    }
    if (!this.#checkLink(path)) return false;
    let id: ObjectId;
    try {
      id = parseObjectTarget(readLink(root, path) ?? '', this.#repository.algorithm);
    } catch (error) {
      this.#report.add(path.startsWith('streams/') ? 'stream-open-failed' : 'image-invalid', path, messageOf(error));
      return false;
    }
    return checkTarget(id, path);
  }

  /** Whether a link leads somewhere. */
  #checkLink(path: ByteString): boolean {
    let target: Fd;
    try {
      target = openIn(this.#repository.root, path, O_PATH);
    } catch (error) {
      if (isErrno(error, 'ENOENT')) {
        this.#report.brokenLinks++;
        this.#report.add('broken-symlink', path);
      } else {
        this.#report.add('stat-failed', path, messageOf(error));
      }
      return false;
    }
    target.close();
    return true;
  }

  #checkRefs(folder: ByteString): void {
    for (const name of this.#list(folder)) {
      const path = `${folder}/${name}`;
      const type = entryType(this.#repository.root, path);
      if (type === constants.S_IFDIR) this.#checkRefs(path);
      else if (type === constants.S_IFLNK) this.#checkLink(path);
      else this.#report.add('unexpected-file-type', path, FILE_TYPES.get(type) ?? 'Unknown');
    }
  }

  /** Names in a directory; one that cannot be read is an error of the repository. */
  #list(folder: ByteString): ByteString[] {
    try {
      return listDirectory(this.#repository.root, folder);
    } catch (error) {
      this.#report.add('stat-failed', folder, messageOf(error));
      return [];
    }
  }

  #missing(kind: 'missing-object-ref' | 'missing-named-ref' | 'image-missing-object', path: ByteString, detail: string): void {
    this.#report.missingObjects++;
    this.#report.add(kind, path, detail);
  }
}

const O_PATH = 0o10000000;

const FILE_TYPES = new Map([
  [constants.S_IFREG, 'RegularFile'],
  [constants.S_IFIFO, 'Fifo'],
  [constants.S_IFSOCK, 'Socket'],
  [constants.S_IFCHR, 'CharacterDevice'],
  [constants.S_IFBLK, 'BlockDevice'],
]);

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
