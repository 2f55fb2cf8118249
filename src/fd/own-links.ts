import { constants } from 'node:fs';
import { showBytes, type ByteString } from '../bytes.js';
import { BridgeError } from '../errors.js';
import { files } from '../native.js';
import { Fd, isErrno, O_PATH, openPath, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS } from './fd.js';
import { isRootOrSelf } from './peer.js';

/** So many symlinks the kernel follows in one path; path_resolution(7). */
const MOST_LINKS = 40;

/** Folders on the way need not be readable. */
const FOLDER = O_PATH | constants.O_DIRECTORY;

/**
 * Opens a folder. Symlinks on the way are followed where root or the caller owns them: one that a stranger made could
 * lead into folders that only this process may enter.
 * @param from where a relative path begins; the working directory when left out
 * @throws BridgeError `FOREIGN_SYMLINK`; an error with `code`, like Node's fs
 */
export function openFolderByOwnLinks(path: ByteString, from?: Fd): Fd {
  let at = path.startsWith('/') ? openPath('/', FOLDER) : (from?.duplicate() ?? openPath('.', FOLDER));
  const parts = split(path);
  try {
    for (let links = 0; parts.length > 0; ) {
      const name = parts.pop() as string;
      const next = step(at, name, path);
      if (typeof next !== 'string') {
        at.close();
        at = next;
      } else {
        if (++links > MOST_LINKS)
          throw Object.assign(new Error(`ELOOP: too many symbolic links, open '${showBytes(path)}'`), {
            code: 'ELOOP',
            syscall: 'open',
          });
        parts.push(...split(next));
        if (!next.startsWith('/')) continue;
        at.close();
        at = openPath('/', FOLDER);
      }
    }
    return new Fd(files.openat2(at.number, '.', constants.O_RDONLY | constants.O_DIRECTORY, 0, 0));
  } finally {
    at.close();
  }
}

/** The parts of a path, the first one last. */
function split(path: ByteString): string[] {
  return path
    .split('/')
    .filter((part) => part !== '')
    .reverse();
}

/** @returns the folder, or the target of a symlink that may be followed */
function step(dir: Fd, name: ByteString, path: ByteString): Fd | ByteString {
  try {
    return new Fd(files.openat2(dir.number, name, FOLDER, 0, RESOLVE_NO_SYMLINKS));
  } catch (error) {
    if (!isErrno(error, 'ELOOP')) throw error;
  }
  // The link is looked at and read through one descriptor, so that it cannot become another one in between.
  using link = new Fd(files.openat2(dir.number, name, O_PATH | constants.O_NOFOLLOW, 0, RESOLVE_NO_SYMLINKS));
  const { mode, uid } = link.stat();
  // It is something else by now: as good as a link to itself.
  if ((mode & constants.S_IFMT) !== constants.S_IFLNK) return name;
  if (!isRootOrSelf(uid)) {
    throw new BridgeError(
      'FOREIGN_SYMLINK',
      `"${showBytes(name)}" in the path ${showBytes(path)} is a symlink of user ${uid}, which is not followed; ` +
        'replace it by a bind mount, or let root or yourself own it',
    );
  }
  return followMagic(dir, name) ?? files.readlinkat(link.number, '');
}

/** The links of /proc do not lead where their text says. @returns undefined for an ordinary symlink */
function followMagic(dir: Fd, name: ByteString): Fd | undefined {
  try {
    new Fd(files.openat2(dir.number, name, O_PATH, 0, RESOLVE_NO_MAGICLINKS)).close();
    return undefined;
  } catch (error) {
    if (!isErrno(error, 'ELOOP')) return undefined;
    return new Fd(files.openat2(dir.number, name, FOLDER, 0, 0));
  }
}
