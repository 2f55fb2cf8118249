// From one digest algorithm to the other, in place: a second repository is built inside the first, which stays as it is until the
// new one is complete.
import { constants, existsSync, rmSync } from 'node:fs';
import { showBytes, type ByteString } from '../bytes.js';
import { BridgeError, NotFoundError } from '../errors.js';
import { isErrno } from '../fd/fd.js';
import { files } from '../native.js';
import { deployedNames, isObjectOpen, mountedNames } from './gc-in-use.js';
import { entryType, listDirectory, makeDirectories, objectTarget, openDirectory, parseObjectTarget, readLink, walkLinks, writeLink } from './links.js';
import { createMeta } from './meta-file.js';
import { FOLDER, MIGRATED_AREAS, NEW, removeMigration, switchRepository } from './migrate-switch.js';
import { checkUnchanged } from './migrate-verity.js';
import type { Algorithm } from './object-id.js';
import { readMeta, Repository, type Area } from './repository.js';
import { Translation } from './translate.js';
import type { ContentStats } from './translate-content.js';

const AREAS: readonly Area[] = ['streams', 'images'];
const REPLACED = 'replaced-';

export interface AlgorithmOptions {
  /** The new repository requires fs-verity although the old one does not. */
  verity?: boolean;
  /** Is told now and then how many objects are done. */
  onProgress?: (objects: number) => void;
  signal?: AbortSignal;
}

export interface AlgorithmReport {
  streams: number;
  images: number;
  contents: ContentStats;
}

/**
 * Gives every object its id of another algorithm, and all streams, images, refs and tags with them; tags stay what they are, images
 * get the ids that a fresh pull would give them. Objects that no stream or image needs are left behind.
 *
 * Others may use the repository while the new one is built. For the last step it is taken exclusively, and stays so until it
 * is disposed. An interrupted call leaves the repository as it was; a later one goes on with the objects that are there.
 * @param path of the repository
 * @param repository opened for writing; not to be used afterwards
 * @throws BridgeError `REPOSITORY_BUSY` when an image is mounted or deployed, or somebody else migrates; `FOREIGN_IMAGE`,
 *   `FOREIGN_FILE`; NotFoundError, DigestMismatchError, FormatError for what is damaged: see `fsck --repair`
 */
export async function changeAlgorithm(repository: Repository, path: string, algorithm: Algorithm, options: AlgorithmOptions = {}): Promise<AlgorithmReport> {
  const { signal } = options;
  refuseUsed(repository, path);
  using work = makeDirectories(repository.root, FOLDER);
  if (!files.flock(work.number, 'exclusive')) throw new BridgeError('REPOSITORY_BUSY', `somebody else migrates ${path}`);
  using target = await openTarget(repository, path, algorithm, options);
  const translation = new Translation(repository, target, signal, options.onProgress);
  try {
    await translateAll(repository, translation);
    await repository.lockExclusive(signal);
    checkUnchanged(repository, path);
    refuseUsed(repository, path);
    // What others stored in the meantime.
    await translateAll(repository, translation);
  } catch (error) {
    translation.abort();
    throw error;
  }
  const counts = { streams: repository.listStreams().length, images: repository.listImages().length };
  writeNames(repository, target, translation);
  await target.sync();
  switchRepository(repository.root, path, repository.meta, repository.verityRequired);
  removeMigration(repository.root);
  return { ...counts, contents: translation.contents };
}

/** An image that is in use needs its objects where they are. */
function refuseUsed(repository: Repository, path: string): void {
  const deployed = new Set(deployedNames(repository));
  const mounted = mountedNames();
  for (const id of repository.listImages()) {
    const use = deployed.has(id) ? 'deployed: a boot entry names it by its id' : (isObjectOpen(repository, id) ?? mounted.has(id)) ? 'mounted or open; unmount it first' : undefined;
    if (use !== undefined) throw new BridgeError('REPOSITORY_BUSY', `image ${id} of ${path} is ${use}`);
  }
}

/** The new repository: begun by an earlier call, or empty. Names in it are made anew. */
async function openTarget(repository: Repository, path: string, algorithm: Algorithm, { verity, signal }: AlgorithmOptions): Promise<Repository> {
  const place = `/proc/self/fd/${repository.root.number}/${NEW}`;
  const secure = repository.verityRequired || verity === true;
  const begun = beganWith(repository, path);
  if (begun !== undefined && (begun.meta.algorithm !== algorithm || begun.verity !== secure)) rmSync(place, { recursive: true });
  using root = makeDirectories(repository.root, NEW);
  if (!existsSync(`${place}/meta.json`)) createMeta(root, path, { ...repository.meta, algorithm }, secure);
  for (const area of MIGRATED_AREAS) {
    if (area !== 'objects') rmSync(`${place}/${area}`, { recursive: true, force: true });
    makeDirectories(root, area).close();
  }
  return Repository.open(place, { write: true, ...(signal && { signal }) });
}

function beganWith(repository: Repository, path: string): ReturnType<typeof readMeta> | undefined {
  try {
    using root = openDirectory(repository.root, NEW);
    return readMeta(root, path);
  } catch (error) {
    if (error instanceof NotFoundError || isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}

async function translateAll(repository: Repository, translation: Translation): Promise<void> {
  for (const area of AREAS) {
    for (const name of repository.listNames(area)) {
      const path = `${area}/${name}`;
      checkLink(repository, path);
      const id = repository.lookup(area, name);
      if (id === undefined) continue;
      try {
        await translation.translate(id);
      } catch (error) {
        if (error instanceof BridgeError) throw new BridgeError(error.code, `${path}: ${error.message}`, { cause: error });
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
      const newName = name === id ? made : name === REPLACED + id ? REPLACED + made : name;
      writeLink(target.root, `${area}/${newName}`, objectTarget(made));
    }
    for (const ref of walkLinks(repository.root, `${area}/refs`)) {
      const path = `${area}/refs/${ref}`;
      checkLink(repository, path);
      writeLink(target.root, path, refTarget(repository, path, translation));
    }
  }
  for (const name of listDirectory(repository.root, 'verified')) {
    const made = translation.find(parseObjectTarget(readLink(repository.root, `verified/${name}`) ?? '', repository.algorithm));
    if (made !== undefined) writeLink(target.root, `verified/${name}`, objectTarget(made));
  }
}

/** Where a ref leads to: a stream keeps its name, an image is called by its id, and some refs lead to an object right away. */
function refTarget(repository: Repository, path: ByteString, translation: Translation): ByteString {
  const target = readLink(repository.root, path) ?? '';
  const [, folders = '', last = ''] = /^(.*\/)?([^/]*)$/s.exec(target) ?? [];
  const image = translation.find(last);
  if (image !== undefined) return folders + image;
  const direct = /(?:^|\/)objects\/[0-9a-f]{2}\/$/.test(folders) ? translation.find(parseObjectTarget(target, repository.algorithm)) : undefined;
  return direct === undefined ? target : objectTarget(direct, path.split('/').length - 1);
}

/** @throws BridgeError `FOREIGN_FILE` for what no program of composefs puts there */
function checkLink(repository: Repository, path: ByteString): void {
  if (entryType(repository.root, path) !== constants.S_IFLNK) throw new BridgeError('FOREIGN_FILE', `${showBytes(path)} is no symlink and does not belong into a repository; remove it`);
}
