// From one digest algorithm to the other, in place: a second repository is built inside the first, which stays as it is
// until the new one is complete.
import type { Abortable } from '../../abortable.js';
import { constants } from 'node:fs';
import { showBytes, type ByteString } from '../../bytes.js';
import { BridgeError, NotFoundError } from '../../errors.js';
import { isErrno, type Fd } from '../../fd/fd.js';
import { removeTree } from '../../fd/remove-tree.js';
import { files } from '../../native.js';
import { deployedNames, isObjectOpen, mountedNames } from '../gc/in-use.js';
import {
  entryType,
  listDirectory,
  makeDirectories,
  objectTarget,
  openDirectory,
  parseObjectTarget,
  readLink,
  walkLinks,
  writeLink,
} from '../links.js';
import { createMeta } from '../meta-file.js';
import {
  AREAS,
  META,
  MIGRATING,
  OBJECTS,
  pathOfName,
  pathOfRef,
  refsOf,
  replacedContentId,
  VERIFIED,
} from '../names.js';
import { hasMigration, MIGRATED_AREAS, NEW, removeMigration, switchRepository } from './switch.js';
import { checkUnchanged } from './verity.js';
import type { Algorithm } from '../../fsverity/object-id.js';
import { readMeta } from '../read-meta.js';
import { Repository } from '../repository.js';
import { Translation } from './translate.js';
import type { ContentStats } from './translate-content.js';

export interface AlgorithmOptions extends Abortable {
  /** The new repository requires fs-verity although the old one does not. */
  verity?: boolean;
  /** Is told now and then how many objects are done. */
  onProgress?: (objects: number) => void;
}

export interface AlgorithmReport {
  streams: number;
  images: number;
  contents: ContentStats;
}

/**
 * Gives every object its id of another algorithm, and all streams, images, refs and tags with them; tags stay what they
 * are, images get the ids that a fresh pull would give them. Those of ostree commits need not: files of 65 to 128 bytes
 * are in the stream with SHA-512 and objects with SHA-256, and stay what they are. Objects that no stream or image
 * needs are left behind.
 *
 * Others may use the repository while the new one is built. For the last step it is taken exclusively, and stays so
 * until it is disposed. An interrupted call leaves the repository as it was; a later one goes on with the objects that
 * are there.
 * @param path of the repository
 * @param repository opened for writing; not to be used afterwards
 * @throws BridgeError `REPOSITORY_BUSY` when an image is mounted or deployed, or somebody else migrates;
 *   `FOREIGN_IMAGE`, `FOREIGN_FILE`; NotFoundError, DigestMismatchError, FormatError for what is damaged: see `fsck
 *   --repair`
 */
export async function changeAlgorithm(
  repository: Repository,
  path: string,
  algorithm: Algorithm,
  options: AlgorithmOptions = {},
): Promise<AlgorithmReport> {
  const { signal } = options;
  refuseUsed(repository, path);
  using work = makeDirectories(repository.root, MIGRATING);
  if (!files.flock(work.number, 'exclusive'))
    throw new BridgeError('REPOSITORY_BUSY', `somebody else migrates ${path}`);
  using target = await openTarget(repository, work, path, algorithm, options);
  const translation = new Translation(repository, target, signal, options.onProgress);
  await translateAll(repository, translation);
  await repository.lockExclusive({ signal });
  checkUnchanged(repository, path);
  refuseUsed(repository, path);
  // What others stored in the meantime.
  await translateAll(repository, translation);
  const counts = { streams: repository.listStreams().length, images: repository.listImages().length };
  writeNames(repository, target, translation);
  await target.sync();
  switchRepository(repository.root, path, repository.meta, repository.verityRequired);
  removeMigration(repository.root);
  return { ...counts, contents: translation.contents };
}

/**
 * Removes the old repository that a migration leaves behind when it is killed after its last step: the next call finds
 * the algorithm changed, and would leave all of it on the disk.
 * @param repository opened for writing; taken exclusively where there is something to remove
 */
export async function clearMigration(repository: Repository, { signal }: Abortable = {}): Promise<void> {
  if (!hasMigration(repository.root)) return;
  using work = makeDirectories(repository.root, MIGRATING);
  // Somebody else is at work in it, and removes it then.
  if (!files.flock(work.number, 'exclusive')) return;
  await repository.lockExclusive({ signal });
  removeMigration(repository.root);
}

/** An image that is in use needs its objects where they are. */
function refuseUsed(repository: Repository, path: string): void {
  const deployed = new Set(deployedNames(repository));
  const mounted = mountedNames();
  for (const id of repository.listImages()) {
    const use = deployed.has(id)
      ? 'deployed: a boot entry names it by its id'
      : (isObjectOpen(repository, id) ?? mounted.has(id))
        ? 'mounted or open; unmount it first'
        : undefined;
    if (use !== undefined) throw new BridgeError('REPOSITORY_BUSY', `image ${id} of ${path} is ${use}`);
  }
}

/** The new repository: begun by an earlier call, or empty. Names in it are made anew. */
async function openTarget(
  repository: Repository,
  work: Fd,
  path: string,
  algorithm: Algorithm,
  { verity, signal }: AlgorithmOptions,
): Promise<Repository> {
  const secure = repository.verityRequired || verity === true;
  const begun = beganWith(work, path);
  if (begun !== undefined && (begun.meta.algorithm !== algorithm || begun.verity !== secure)) removeTree(work, NEW);
  const root = makeDirectories(work, NEW);
  try {
    if (!listDirectory(root, '').includes(META)) createMeta(root, path, { ...repository.meta, algorithm }, secure);
    for (const area of MIGRATED_AREAS) {
      if (area !== OBJECTS) removeTree(root, area);
      makeDirectories(root, area).close();
    }
  } catch (error) {
    root.close();
    throw error;
  }
  // Its owner is that of the repository it lies in, who is believed by now.
  return Repository.open(`${path}/${MIGRATING}/${NEW}`, {
    write: true,
    trust: true,
    openDir: () => root.move(),
    ...(signal && { signal }),
  });
}

function beganWith(work: Fd, path: string): ReturnType<typeof readMeta> | undefined {
  try {
    using root = openDirectory(work, NEW);
    return readMeta(root, path);
  } catch (error) {
    if (error instanceof NotFoundError || isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}

async function translateAll(repository: Repository, translation: Translation): Promise<void> {
  for (const area of AREAS) {
    for (const name of repository.listNames(area)) {
      const path = pathOfName(area, name);
      checkLink(repository, path);
      const id = repository.lookup(area, name);
      if (id === undefined) continue;
      try {
        await translation.translate(id);
      } catch (error) {
        if (error instanceof BridgeError)
          throw new BridgeError(error.code, `${path}: ${error.message}`, { cause: error });
        throw error;
      }
    }
  }
}

function writeNames(repository: Repository, target: Repository, translation: Translation): void {
  for (const area of AREAS) {
    for (const name of repository.listNames(area)) {
      const id = repository.lookup(area, name) ?? '';
      const made = translation.find(id) ?? '';
      const newName = name === id ? made : name === replacedContentId(id) ? replacedContentId(made) : name;
      writeLink(target.root, pathOfName(area, newName), objectTarget(made));
    }
    for (const ref of walkLinks(repository.root, refsOf(area))) {
      const path = pathOfRef(area, ref);
      checkLink(repository, path);
      writeLink(target.root, path, refTarget(repository, path, translation));
    }
  }
  for (const name of listDirectory(repository.root, VERIFIED)) {
    const path = pathOfName(VERIFIED, name);
    const made = translation.find(parseObjectTarget(readLink(repository.root, path) ?? '', repository.algorithm));
    if (made !== undefined) writeLink(target.root, path, objectTarget(made));
  }
}

/**
 * Where a ref leads to: a stream keeps its name, an image is called by its id, and some refs lead to an object right
 * away.
 */
function refTarget(repository: Repository, path: ByteString, translation: Translation): ByteString {
  const target = readLink(repository.root, path) ?? '';
  const [, folders = '', last = ''] = /^(.*\/)?([^/]*)$/s.exec(target) ?? [];
  const image = translation.find(last);
  if (image !== undefined) return folders + image;
  const direct = /(?:^|\/)objects\/[0-9a-f]{2}\/$/.test(folders)
    ? translation.find(parseObjectTarget(target, repository.algorithm))
    : undefined;
  return direct === undefined ? target : objectTarget(direct, path.split('/').length - 1);
}

/** @throws BridgeError `FOREIGN_FILE` for what no program of composefs puts there */
function checkLink(repository: Repository, path: ByteString): void {
  if (entryType(repository.root, path) !== constants.S_IFLNK)
    throw new BridgeError(
      'FOREIGN_FILE',
      `${showBytes(path)} is no symlink and does not belong into a repository; remove it`,
    );
}
