// Who made what a repository says about itself. Content proves itself by its digest; a name or a mark is as good as who
// made it.
import { constants } from 'node:fs';
import type { ByteString } from '../bytes.js';
import { isErrno } from '../fd/fd.js';
import { files } from '../native.js';
import { listDirectory, openDirectory, removeLink, writeLink } from './links.js';
import { OBJECTS, pathAmongObjects, STREAMS, VERIFIED } from './names.js';
import type { Repository } from './repository.js';

const WRITABLE_BY_OTHERS = 0o022;

/**
 * Whether something in a repository was made by somebody who is believed, and nobody else can change it. Symlinks are
 * not followed.
 * @returns undefined when there is no such thing
 */
export function isOurs(repository: Repository, path: ByteString): boolean | undefined {
  const slash = path.lastIndexOf('/');
  try {
    using dir = openDirectory(repository.root, path.slice(0, Math.max(slash, 0)));
    const { uid, mode } = files.fstatat(dir.number, path.slice(slash + 1));
    return (
      repository.believes(uid) && ((mode & constants.S_IFMT) === constants.S_IFLNK || (mode & WRITABLE_BY_OTHERS) === 0)
    );
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}

/** Makes a name ours that somebody else may have made, with the same target or another. */
export function writeOurLink(repository: Repository, path: ByteString, target: ByteString): void {
  if (isOurs(repository, path) === false) removeLink(repository.root, path);
  writeLink(repository.root, path, target);
}

const known = new WeakMap<Repository, boolean>();

/** Whether nobody else can exchange the names, marks and objects of a repository, by its folders. */
export function hasOurFolders(repository: Repository): boolean {
  let ours = known.get(repository);
  if (ours === undefined) {
    const folders = [STREAMS, VERIFIED, OBJECTS, ...listDirectory(repository.root, OBJECTS).map(pathAmongObjects)];
    ours = folders.every((path) => isOurs(repository, path) !== false);
    known.set(repository, ours);
  }
  return ours;
}
