// Folders in a repository's own one with what only makes later commands cheaper. Other programs look for nothing there.
import { constants } from 'node:fs';
import type { ByteString } from '../bytes.js';
import { debug } from '../debug.js';
import { isErrno, openBeneath, type Fd } from '../fd/fd.js';
import { files } from '../native.js';

const DIRECTORY = constants.O_RDONLY | constants.O_DIRECTORY;

/**
 * Opens such a folder, or makes it. A garbage collection leaves it alone as long as the descriptor is open.
 * @param root the repository's folder
 * @returns undefined where nothing can be kept: the folder is somebody else's, or cannot be made
 */
export function openPrivateFolder(root: Fd, name: ByteString): Fd | undefined {
  try {
    files.mkdirat(root.number, name, 0o700);
  } catch (error) {
    if (isErrno(error, 'EACCES', 'EPERM', 'EROFS')) return undefined;
    if (!isErrno(error, 'EEXIST')) throw error;
  }
  const folder = openBeneath(root, name, DIRECTORY);
  const { uid, mode } = folder.stat();
  // Anybody else who could put files there would have us write into them, or believe them.
  if (uid === process.geteuid?.() && (mode & 0o077) === 0) {
    files.flock(folder.number, 'shared');
    return folder;
  }
  debug(() => `${name}: belongs to user ${uid} or is open to others; nothing is kept there`);
  folder.close();
  return undefined;
}

/** Whether there is such a folder, and a garbage collection may remove it. */
export function isAbandoned(root: Fd, name: ByteString): boolean {
  try {
    using folder = openBeneath(root, name, DIRECTORY);
    return files.flock(folder.number, 'exclusive');
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR', 'ELOOP')) return false;
    throw error;
  }
}
