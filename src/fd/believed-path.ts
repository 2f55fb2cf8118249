// Paths that a person named, where somebody else may have put a symlink into the way.
import { constants } from 'node:fs';
import { showBytes, type ByteString } from '../bytes.js';
import { BridgeError } from '../errors.js';
import { AT_FDCWD, files } from '../native.js';
import { isErrno, O_PATH, openPath, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, Fd, type OpenDir } from './fd.js';
import { isRootOrSelf } from './peer.js';

const FOLDER = constants.O_RDONLY | constants.O_DIRECTORY;
/** As in the kernel. */
const MOST_LINKS = 40;

/**
 * Opens a directory by its path. Symlinks in it are followed when root or the caller owns them: one of somebody else
 * could lead anywhere, and elsewhere the next time.
 * @throws BridgeError `SYMLINK_OWNER`; an error with `code`, like Node's fs
 */
export const openBelievedDirectory: OpenDir = (path) => {
  try {
    return new Fd(files.openat2(AT_FDCWD, path, FOLDER, 0, RESOLVE_NO_SYMLINKS));
  } catch (error) {
    if (!isErrno(error, 'ELOOP')) throw error;
    using found = walk(path, undefined);
    return folderOf(found);
  }
};

/** Opens a file in the same way. @param flags as of open(2) */
export function openBelievedFile(path: ByteString, flags: number): Fd {
  try {
    return new Fd(files.openat2(AT_FDCWD, path, flags, 0, RESOLVE_NO_SYMLINKS));
  } catch (error) {
    if (!isErrno(error, 'ELOOP')) throw error;
    using found = walk(path, undefined);
    return openPath(`/proc/self/fd/${found.number}`, flags);
  }
}

/** The same, after making what is missing of it, with this mode. */
export function makeBelievedDirectory(path: ByteString, mode: number): Fd {
  using found = walk(path, mode);
  return folderOf(found);
}

function folderOf(found: Fd): Fd {
  return new Fd(files.openat2(found.number, '.', FOLDER, 0, 0));
}

/** Without opening what is there, which may be anything. */
function walk(path: ByteString, mode: number | undefined): Fd {
  let at = start(path);
  try {
    const left = path.split('/').reverse();
    let links = 0;
    while (left.length > 0) {
      const name = left.pop() as ByteString;
      if (name === '' || name === '.') continue;
      using next = openOrMake(at, name, path, mode);
      const { mode: found, uid, size } = next.stat();
      if ((found & constants.S_IFMT) !== constants.S_IFLNK) {
        at = replaced(at, next.move());
        continue;
      }
      if (!isRootOrSelf(uid))
        throw new BridgeError(
          'SYMLINK_OWNER',
          `${showBytes(path)}: ${showBytes(name)} is a symlink of user ${uid}, who could have it lead anywhere; ` +
            'name the folder itself',
        );
      if (++links > MOST_LINKS) throw new BridgeError('ELOOP', `${showBytes(path)}: too many symlinks`);
      const target = files.readlinkat(next.number, '');
      if (isMagic(at, name, size, target)) at = replaced(at, new Fd(files.openat2(at.number, name, O_PATH, 0, 0)));
      else {
        left.push(...target.split('/').reverse());
        if (target.startsWith('/')) at = replaced(at, start(target));
      }
    }
    return at.move();
  } finally {
    at.close();
  }
}

function start(path: ByteString): Fd {
  return openPath(path.startsWith('/') ? '/' : '.', O_PATH | constants.O_DIRECTORY);
}

function replaced(old: Fd, next: Fd): Fd {
  old.close();
  return next;
}

function openOrMake(parent: Fd, name: ByteString, path: ByteString, mode: number | undefined): Fd {
  try {
    return openAt(parent, name, path);
  } catch (error) {
    if (mode === undefined || !isErrno(error, 'ENOENT')) throw error;
  }
  try {
    files.mkdirat(parent.number, name, mode);
  } catch (error) {
    if (isErrno(error, 'ENOENT'))
      throw new BridgeError(
        'NO_FOLDER',
        `the folder ${showBytes(path)} cannot be made: what is above "${showBytes(name)}" was removed, or is of ` +
          'a file system that takes no new folders; name another place',
      );
    if (!isErrno(error, 'EEXIST')) throw error;
  }
  return openAt(parent, name, path);
}

function openAt(parent: Fd, name: ByteString, path: ByteString): Fd {
  try {
    return new Fd(files.openat2(parent.number, name, O_PATH | constants.O_NOFOLLOW, 0, 0));
  } catch (error) {
    if (error instanceof Error && 'code' in error) error.message += ` in '${showBytes(path)}'`;
    throw error;
  }
}

/**
 * Links of /proc that lead to a place and not by a text, as /proc/PID/root. Other symlinks are as long as their text.
 */
function isMagic(parent: Fd, name: ByteString, size: number, target: ByteString): boolean {
  if (size === target.length) return false;
  try {
    new Fd(files.openat2(parent.number, name, O_PATH, 0, RESOLVE_NO_MAGICLINKS)).close();
    return false;
  } catch (error) {
    return isErrno(error, 'ELOOP');
  }
}
