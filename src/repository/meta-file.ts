// Writing meta.json, which appears complete or not at all. Whether it has fs-verity is what makes a repository a secure
// one.
import { constants, existsSync, fchmodSync, fsyncSync, writeSync } from 'node:fs';
import { bytesOf } from '../bytes.js';
import { BridgeError } from '../errors.js';
import { isErrno, openPath, type Fd } from '../fd/fd.js';
import { files } from '../native.js';
import { printMeta, type Meta } from './meta.js';
import { META } from './names.js';
import { KERNEL_ALGORITHM } from '../fsverity/object-id.js';

const O_TMPFILE = 0o20000000 | constants.O_DIRECTORY;

/**
 * Writes the meta.json of a repository that has none.
 * @param path of the repository, for messages
 * @param secure give it fs-verity
 * @throws BridgeError `VERITY_UNSUPPORTED`; `REPOSITORY_EXISTS` when somebody else was quicker
 */
export function createMeta(root: Fd, path: string, meta: Meta, secure: boolean): void {
  using file = metaFile(root, path, meta, secure);
  linkMeta(root, path, file);
}

/** Names what `metaFile` made. @throws BridgeError `REPOSITORY_EXISTS` when somebody else was quicker */
export function linkMeta(root: Fd, path: string, file: Fd): void {
  try {
    files.linkFd(file.number, root.number, META);
  } catch (error) {
    if (!isErrno(error, 'EEXIST')) throw error;
    throw new BridgeError('REPOSITORY_EXISTS', `${path} was initialized by somebody else just now`, { cause: error });
  }
  fsyncSync(root.number);
}

/**
 * Puts another meta.json in the place of the one that is there, in one step. Needs the repository to ourselves.
 * @throws BridgeError `VERITY_UNSUPPORTED`
 */
export function replaceMeta(root: Fd, path: string, meta: Meta, secure: boolean): void {
  const temporary = `.${META}.new`;
  using file = metaFile(root, path, meta, secure);
  try {
    files.unlinkat(root.number, temporary, 0);
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw error;
  }
  files.linkFd(file.number, root.number, temporary);
  files.renameat2(root.number, temporary, root.number, META, 0);
  fsyncSync(root.number);
}

/**
 * What is said when fs-verity is asked for and cannot be had.
 * @param features where the kernel says what its file systems can do
 */
export function verityUnsupported(path: string, features = '/sys/fs'): BridgeError {
  const message = kernelHasVerity(features)
    ? `the file system of ${path} has no fs-verity. ext4 gets it by "tune2fs -O verity DEVICE" and needs blocks of ` +
      '4096 bytes; btrfs and f2fs have it.'
    : `this kernel has no fs-verity (it was built without CONFIG_FS_VERITY), whatever the file system of ${path} is.`;
  return new BridgeError('VERITY_UNSUPPORTED', `${message} An insecure repository works without.`);
}

/**
 * Each file system that is loaded says what it can do with this kernel; where none says anything, that is not known.
 */
function kernelHasVerity(features: string): boolean {
  const loaded = ['ext4', 'btrfs', 'f2fs']
    .map((name) => `${features}/${name}/features`)
    .filter((path) => existsSync(path));
  return loaded.length === 0 || loaded.some((path) => existsSync(`${path}/verity`));
}

/**
 * An unnamed meta.json, on the disk and with nobody left who could write to it.
 * @throws BridgeError `VERITY_UNSUPPORTED`
 */
export function metaFile(root: Fd, path: string, meta: Meta, secure: boolean): Fd {
  const file = writtenFile(root, printMeta(meta));
  if (!secure || files.enableVerity(file.number, KERNEL_ALGORITHM[meta.algorithm])) return file;
  file.close();
  throw verityUnsupported(path);
}

function writtenFile(root: Fd, content: string): Fd {
  using writer = openPath(bytesOf(`/proc/self/fd/${root.number}`), O_TMPFILE | constants.O_RDWR, 0o644);
  fchmodSync(writer.number, 0o644);
  writeSync(writer.number, content);
  fsyncSync(writer.number);
  return openPath(bytesOf(`/proc/self/fd/${writer.number}`), constants.O_RDONLY);
}
