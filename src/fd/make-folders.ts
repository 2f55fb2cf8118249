import { mkdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { BridgeError } from '../errors.js';
import { isErrno } from './fd.js';

/**
 * Makes a folder and those above it. Node's own way tries forever where a folder is there and nothing can be made in it
 * with the reason ENOENT: below /proc, and in a folder that was removed while somebody works in it.
 * @param mode of the folder itself, if it is made
 * @throws BridgeError `NO_FOLDER` there, and what the file system throws
 */
export function makeFolders(path: string, mode = 0o777): void {
  if (makeFolder(path, mode)) return;
  const parent = dirname(path);
  if (parent !== path) makeFolders(parent);
  if (parent === path || !makeFolder(path, mode))
    throw new BridgeError(
      'NO_FOLDER',
      `the folder ${path} cannot be made: "${parent}" was removed, or is of a file system that takes no new ` +
        'folders; name another place',
    );
}

/** @returns false when the one above it is missing */
function makeFolder(path: string, mode: number): boolean {
  try {
    mkdirSync(path, { mode });
    return true;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return false;
    // Some file systems, and those that are read-only, have other reasons for what is there already.
    if (
      isErrno(error, 'EEXIST', 'EROFS', 'EACCES', 'EPERM', 'EISDIR') &&
      statSync(path, { throwIfNoEntry: false })?.isDirectory()
    )
      return true;
    throw error;
  }
}
