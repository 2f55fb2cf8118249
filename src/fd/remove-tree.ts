// Recursive removal that nobody can lead astray: every folder is opened beneath its parent, every name is removed
// relative to an open folder.
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { setImmediate as turn } from 'node:timers/promises';
import { showBytes, type ByteString } from '../bytes.js';
import { BridgeError } from '../errors.js';
import { files } from '../native.js';
import { isErrno, openBeneath, RESOLVE_NO_XDEV, type Fd } from './fd.js';

const AT_REMOVEDIR = 0x200;
const FOLDER = constants.O_RDONLY | constants.O_DIRECTORY;
/** How often a name may be something other than a moment ago. Somebody who keeps doing that must not keep us here. */
const ATTEMPTS = 32;

/**
 * Removes a file or a folder with all that is in it. Symlinks are removed, never followed; a folder on another
 * filesystem or mount is an error. Renaming things in the meantime cannot get anything removed that is not below
 * `parent`. How deep folders are nested costs neither descriptors nor stack.
 * @param name a single name in `parent`
 * @returns false when there was nothing
 * @throws BridgeError `OTHER_FILESYSTEM`, `KEEPS_CHANGING`; the system's error otherwise
 */
export function removeTree(parent: Fd, name: ByteString): boolean {
  const steps = removal(parent, name);
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
  }
}

/**
 * The same for a tree of any size: others get their turn after each folder.
 * @throws as `removeTree`
 */
export async function removeTreeInSteps(parent: Fd, name: ByteString): Promise<boolean> {
  const steps = removal(parent, name);
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
    await turn();
  }
}

/** Stops after each folder. */
function* removal(parent: Fd, name: ByteString): Generator<void, boolean, void> {
  const { dev } = parent.stat();
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const kind = kindOf(parent, name);
    if (kind === undefined) return attempt > 0;
    if (kind === 'folder') yield* emptyFolder(parent, name, dev);
    if (remove(parent, name, kind)) return true;
  }
  throw new BridgeError('KEEPS_CHANGING', `${showBytes(name)} cannot be removed: somebody keeps changing it`);
}

type Kind = 'folder' | 'other';

function kindOf(parent: Fd, name: ByteString): Kind | undefined {
  try {
    return (files.fstatat(parent.number, name).mode & constants.S_IFMT) === constants.S_IFDIR ? 'folder' : 'other';
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}

/** False when it is not what it was a moment ago, or a folder that is not empty any more. */
function remove(parent: Fd, name: ByteString, kind: Kind): boolean {
  try {
    files.unlinkat(parent.number, name, kind === 'folder' ? AT_REMOVEDIR : 0);
    return true;
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'EISDIR', 'ENOTDIR', 'ENOTEMPTY', 'EEXIST')) return false;
    throw error;
  }
}

/** Undefined when it is not a folder any more: a symlink that was put in its place must not lead out of here. */
function openFolder(parent: Fd, name: ByteString, dev: bigint): Fd | undefined {
  let folder: Fd;
  try {
    folder = openBeneath(parent, name, FOLDER, 0, RESOLVE_NO_XDEV);
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR', 'ELOOP')) return undefined;
    if (isErrno(error, 'EXDEV')) throw otherFilesystem(name, error);
    throw error;
  }
  if (folder.stat().dev === dev) return folder;
  folder.close();
  throw otherFilesystem(name);
}

/**
 * Removes everything in a folder. Folders below it are moved into it before they are emptied themselves, so that two
 * descriptors are enough for any depth.
 */
function* emptyFolder(parent: Fd, name: ByteString, dev: bigint): Generator<void, void, void> {
  using top = openFolder(parent, name, dev);
  if (!top) return;
  const left = removeFiles(top);
  for (let next = left.pop(); next !== undefined; next = left.pop()) {
    using folder = openFolder(top, next, dev);
    if (!folder) continue;
    for (const inner of removeFiles(folder)) {
      const moved = moveUp(folder, inner, top);
      if (moved !== undefined) left.push(moved);
    }
    remove(top, next, 'folder');
    yield;
  }
}

/** Removes all but folders. @returns the names of those */
function removeFiles(folder: Fd): ByteString[] {
  return files.readdir(folder.number).filter((name) => {
    const kind = kindOf(folder, name);
    if (kind === 'other') remove(folder, name, kind);
    return kind === 'folder';
  });
}

/** @returns its new name; undefined when it is gone */
function moveUp(from: Fd, name: ByteString, to: Fd): ByteString | undefined {
  const moved = `.removing-${randomBytes(12).toString('hex')}`;
  try {
    files.renameat2(from.number, name, to.number, moved, 0);
    return moved;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    // What can only be a mount point or a subvolume.
    if (isErrno(error, 'EXDEV', 'EBUSY')) throw otherFilesystem(name, error);
    throw error;
  }
}

function otherFilesystem(name: ByteString, cause?: unknown): BridgeError {
  const message = `${showBytes(name)} is not removed: it is on another filesystem; unmount it, or remove the subvolume`;
  return new BridgeError('OTHER_FILESYSTEM', message, { cause });
}
