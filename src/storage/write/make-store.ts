// A store that nobody has used yet, with the folders and files that podman makes in it. Source: what podman 5.8 leaves
// in an empty folder, less what is its own and not the store's.
import { constants, writeSync } from 'node:fs';
import { bytesOf } from '../../bytes.js';
import { makeBelievedDirectory } from '../../fd/believed-path.js';
import { openBeneath, type Fd } from '../../fd/fd.js';
import type { LockWait } from '../lock.js';
import { isThere, openOrMakeFolder } from './folders.js';
import { WriteLock } from './write-lock.js';

const LOCK_FLAGS = constants.O_RDWR | constants.O_CREAT;

/**
 * Makes what is missing of a store. What is there stays as it is.
 * @param graphroot absolute path; made if need be
 * @param plainWhiteouts whether another program than the kernel mounts the layers
 * @throws BridgeError `SYMLINK_OWNER`, `NO_FOLDER`, `STORE_BUSY`; an error with `code` of the system
 */
export async function makeStore(graphroot: string, plainWhiteouts: boolean, wait: LockWait): Promise<void> {
  using path = makeBelievedDirectory(bytesOf(graphroot), 0o700);
  using root = openBeneath(path, '.', constants.O_RDONLY | constants.O_DIRECTORY);
  using lock = await WriteLock.take(root, 'storage.lock', wait);
  lock.recordWrite();
  makeLock(root, 'userns.lock');
  using trees = openOrMakeFolder(root, 'overlay', 0o755);
  openOrMakeFolder(trees, 'l', 0o755).close();
  if (!isThere(trees, '.has-mount-program')) {
    using flag = openBeneath(trees, '.has-mount-program', LOCK_FLAGS, 0o600);
    writeSync(flag.number, String(plainWhiteouts));
  }
  makeLockedFolder(root, 'overlay-layers', 'layers.lock');
  makeLockedFolder(root, 'overlay-images', 'images.lock');
  makeLockedFolder(root, 'overlay-containers', 'containers.lock');
}

function makeLockedFolder(root: Fd, name: string, lock: string): void {
  using folder = openOrMakeFolder(root, name, 0o700);
  makeLock(folder, lock);
}

function makeLock(dir: Fd, name: string): void {
  openBeneath(dir, name, LOCK_FLAGS, 0o644).close();
}
