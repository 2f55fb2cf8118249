// Checks a repository without changing it: object digests, names, splitstreams and what they refer to, images.
import type { Abortable } from '../../abortable.js';
import { constants } from 'node:fs';
import type { ByteString } from '../../bytes.js';
import { showBytes } from '../../bytes.js';
import { isErrno } from '../../fd/fd.js';
import { followLink } from '../follow-link.js';
import type { Finding, MissingObject, NameFinding } from './findings.js';
import { checkObjects, listObjectNames, type CheckedObjects, type ObjectNames } from './objects.js';
import { FsckReport, type FsckCount } from './report.js';
import { checkDepth, entryType, listDirectory, parseObjectTarget, readLink } from '../links.js';
import type { ObjectId } from '../../fsverity/object-id.js';
import {
  IMAGES,
  isName,
  MIGRATING,
  OBJECTS,
  pathOfName,
  QUARANTINE,
  refsOf,
  STREAMS,
  VERIFIED,
  type Area,
} from '../names.js';
import { imageReferences, readImage } from '../object-graph/object-graph.js';
import type { Repository } from '../repository.js';

export interface FsckOptions extends Abortable {
  /** Leave out the digests of objects and layers, which takes nearly all of the time. */
  metadataOnly?: boolean;
  /**
   * Looks into the streams of ostree commits, which are the business of others: `commitCheck`. Without it nobody does.
   * @param name of the stream
   * @returns what is wrong with it
   */
  checkCommit?: (name: ByteString, signal: AbortSignal) => Promise<string | undefined>;
}

/**
 * Checks a whole repository. What is wrong is in the report; only an abort or a failure of the machine is thrown.
 * @example
 * ```ts
 * import { fsckRepository, Repository } from 'composefs-bridge';
 *
 * using repository = await Repository.open('/var/lib/images');
 * const { ok, objects, errors } = await fsckRepository(repository);
 * console.log(ok, objects.corrupted); // true 0
 * for (const { kind, path } of errors) console.error(kind, path);
 * ```
 */
export async function fsckRepository(repository: Repository, options: FsckOptions = {}): Promise<FsckReport> {
  const stop = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, stop.signal]) : stop.signal;
  // Other threads read the objects while this one goes through the names.
  const present = await listObjectNames(repository, signal);
  const checked = options.metadataOnly === true ? undefined : checkObjects(repository, present, signal);
  checked?.catch(() => undefined);
  try {
    const links = new LinkCheck(repository, present);
    links.checkFolders();
    const checkStream = async (id: ObjectId, path: ByteString): Promise<boolean> =>
      links.checkStream(id, path) && links.checkCommit(path, await options.checkCommit?.(nameOf(path), signal));
    const streams = await links.checkArea(STREAMS, checkStream, signal);
    const images = await links.checkArea(IMAGES, async (id, path) => links.checkImage(id, path), signal);
    const objects = (await checked) ?? NOT_CHECKED;
    return new FsckReport(objects.count, streams, images, [...objects.findings, ...links.findings]);
  } catch (error) {
    stop.abort(error);
    await checked?.catch(() => undefined);
    throw error;
  }
}

const NOT_CHECKED: CheckedObjects = { count: { checked: 0, corrupted: 0 }, findings: [] };

class LinkCheck {
  readonly #repository: Repository;
  readonly #present: ObjectNames;
  readonly findings: Finding[] = [];

  constructor(repository: Repository, present: ObjectNames) {
    this.#repository = repository;
    this.#present = present;
  }

  /** Checks the names of an area and then its refs. `checkTarget` says whether the object behind a name is sound. */
  async checkArea(
    area: Area,
    checkTarget: (id: ObjectId, path: ByteString) => Promise<boolean>,
    signal?: AbortSignal,
  ): Promise<FsckCount> {
    let checked = 0;
    let corrupted = 0;
    for (const name of this.#list(area).filter(isName)) {
      signal?.throwIfAborted();
      // One stream or image is a few milliseconds: others get their turn in between.
      await new Promise(setImmediate);
      checked++;
      if (!(await this.#checkEntry(pathOfName(area, name), checkTarget))) corrupted++;
    }
    this.#checkRefs(refsOf(area));
    return { checked, corrupted };
  }

  checkStream(id: ObjectId, path: ByteString): boolean {
    try {
      using reader = this.#repository.openStream(id);
      for (const ref of this.#present.missing(reader.objects.bytes)) this.#missing('missing-object-ref', path, ref);
      for (const [name, ref] of reader.namedRefs) {
        if (!this.#present.has(ref)) this.#missing('missing-named-ref', path, ref, name);
      }
      return true;
    } catch (error) {
      this.#add(
        'stream-open-failed',
        path,
        `Opening stream '${showBytes(path.slice(STREAMS.length + 1))}': ${messageOf(error)}`,
      );
      return false;
    }
  }

  /** @param problem what is wrong with an ostree commit */
  checkCommit(path: ByteString, problem: string | undefined): boolean {
    if (problem !== undefined) this.#add('stream-open-failed', path, problem);
    return problem === undefined;
  }

  checkImage(id: ObjectId, path: ByteString): boolean {
    let bytes: Buffer;
    try {
      using fd = this.#repository.objects.open(id);
      bytes = readImage(fd);
    } catch (error) {
      this.#add('image-read-failed', path, messageOf(error));
      return false;
    }
    try {
      const missing = new Set<ObjectId>();
      const others = imageReferences(this.#repository, bytes, (digests) =>
        this.#present.missing(digests).forEach((id) => missing.add(id)),
      );
      for (const ref of [...new Set([...missing, ...others])].sort()) this.#missing('image-missing-object', path, ref);
      return true;
    } catch (error) {
      this.#add('image-invalid', path, messageOf(error));
      return false;
    }
  }

  async #checkEntry(
    path: ByteString,
    checkTarget: (id: ObjectId, path: ByteString) => Promise<boolean>,
  ): Promise<boolean> {
    const root = this.#repository.root;
    if (entryType(root, path) !== constants.S_IFLNK) {
      this.#add('entry-not-symlink', path);
      return false;
    }
    if (!this.#checkLink(path)) return false;
    let id: ObjectId;
    try {
      id = parseObjectTarget(readLink(root, path) ?? '', this.#repository.algorithm);
    } catch (error) {
      this.#add(path.startsWith(`${STREAMS}/`) ? 'stream-open-failed' : 'image-invalid', path, messageOf(error));
      return false;
    }
    return await checkTarget(id, path);
  }

  /** Whether a link leads somewhere. */
  #checkLink(path: ByteString): boolean {
    const end = followLink(this.#repository.root, path);
    if (end === 'found') return true;
    if (end !== 'missing') this.#add('stat-failed', path, end);
    else this.#add('broken-symlink', path);
    return false;
  }

  #checkRefs(folder: ByteString): void {
    for (const name of this.#list(folder)) {
      const path = `${folder}/${name}`;
      if (this.#isTooDeep(path)) continue;
      const type = entryType(this.#repository.root, path);
      if (type === constants.S_IFDIR) this.#checkRefs(path);
      else if (type === constants.S_IFLNK) this.#checkLink(path);
      else this.#add('unexpected-file-type', path, FILE_TYPES.get(type) ?? 'Unknown');
    }
  }

  #isTooDeep(path: ByteString): boolean {
    try {
      checkDepth(path);
      return false;
    } catch (error) {
      this.#add('stat-failed', `${path.split('/', 3).join('/')}`, messageOf(error));
      return true;
    }
  }

  /** Folders that no other check looks into. What is not there is not missing. */
  checkFolders(): void {
    for (const name of [OBJECTS, VERIFIED, QUARANTINE, MIGRATING]) {
      const type = typeOrUndefined(this.#repository, name);
      if (type === undefined || type === constants.S_IFDIR) continue;
      const detail =
        type === constants.S_IFLNK
          ? 'a symlink, which could lead anywhere; put the folder itself there, or mount it there'
          : 'no folder; move it away';
      this.#add('folder-invalid', name, detail);
    }
  }

  /** Names in a directory; one that cannot be read is an error of the repository. */
  #list(folder: ByteString): ByteString[] {
    try {
      return listDirectory(this.#repository.root, folder);
    } catch (error) {
      this.#add('stat-failed', folder, messageOf(error));
      return [];
    }
  }

  #add(kind: NameFinding['kind'], path: ByteString, reason?: string): void {
    this.findings.push({ kind, path, ...(reason !== undefined && { reason }) });
  }

  #missing(kind: MissingObject['kind'], path: ByteString, object: ObjectId, ref?: string): void {
    this.findings.push({ kind, path, object, ...(ref !== undefined && { ref }) });
  }
}

function nameOf(path: ByteString): ByteString {
  return path.slice(STREAMS.length + 1);
}

function typeOrUndefined({ root }: Repository, path: ByteString): number | undefined {
  try {
    return entryType(root, path);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}

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
