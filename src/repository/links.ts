// Symlinks are the repository's names: a stream or image to its object, a ref to a stream or image.
import { constants } from 'node:fs';
import { showBytes, type ByteString } from '../bytes.js';
import { BridgeError, FormatError } from '../errors.js';
import { isErrno, openBeneath, type Fd } from '../fd/fd.js';
import { NAME_LIMIT, PATH_LIMIT } from '../limits.js';
import { files } from '../native.js';
import { DIGEST_SIZE, type Algorithm, type ObjectId } from '../fsverity/object-id.js';
import { pathOfObject, temporaryLinkName } from './names.js';

const ATTEMPTS = 16;
const DIRECTORY = constants.O_RDONLY | constants.O_DIRECTORY;

/**
 * Checks a name from outside before it becomes a directory entry.
 * @throws BridgeError `INVALID_NAME` for an empty name, `.`, `..`, a slash, NUL, or more than 255 bytes
 */
export function checkName(name: ByteString): void {
  if (name === '' || name === '.' || name === '..' || /[/\0]/.test(name))
    throw new BridgeError('INVALID_NAME', `"${showBytes(name)}" cannot be a name in a repository`);
  if (name.length > NAME_LIMIT)
    throw new BridgeError(
      'INVALID_NAME',
      `name of ${name.length} bytes, at most ${NAME_LIMIT} fit: "${showBytes(name.slice(0, 40))}…"`,
    );
}

/** Checks a name whose parts become directories. @throws BridgeError `INVALID_NAME`, see `checkName` */
export function checkPath(path: ByteString): void {
  path.split('/').forEach(checkName);
}

/** What a stream or image link points at, for links that are `depth` directories below the repository. */
export function objectTarget(id: ObjectId, depth = 1): ByteString {
  return '../'.repeat(depth) + pathOfObject(id);
}

/**
 * The object a link points at. Only the last two parts of the target count.
 * @throws FormatError when they are no object of this algorithm
 */
export function parseObjectTarget(target: ByteString, algorithm: Algorithm): ObjectId {
  const match = /(?:^|\/)([0-9a-f]{2})\/([0-9a-f]+)$/.exec(target);
  const id = match ? `${match[1]}${match[2]}` : '';
  if (id.length !== 2 * DIGEST_SIZE[algorithm])
    throw new FormatError('LINK_TARGET', `link to "${showBytes(target)}" does not name a ${algorithm} object`);
  return id;
}

/**
 * The target of the symlink `path`, or undefined when there is no such name.
 * @throws FormatError `NOT_A_LINK` when it is not a symlink
 */
export function readLink(root: Fd, path: ByteString): ByteString | undefined {
  const { parent, name } = splitPath(path);
  try {
    using dir = openDirectory(root, parent);
    return files.readlinkat(dir.number, name);
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return undefined;
    if (isErrno(error, 'EINVAL')) {
      const advice = entryType(root, path) === constants.S_IFDIR ? '' : '; move it away';
      throw new FormatError('NOT_A_LINK', `${showBytes(path)} is no symlink as names in a repository are${advice}`, {
        cause: error,
      });
    }
    throw error;
  }
}

/**
 * Makes `path` a symlink to `target` in one step: whoever looks sees the old target or the new one. Missing
 * directories are made.
 * @returns false when it was that already
 */
export function writeLink(root: Fd, path: ByteString, target: ByteString): boolean {
  const { parent, name } = splitPath(path);
  using dir = makeDirectories(root, parent);
  if (trySymlink(target, dir, name)) return true;
  if (readLink(dir, name) === target) return false;
  // The repository's own directory is on the same file system and nobody looks for names there.
  const temporary = makeTemporaryLink(root, target);
  try {
    files.renameat2(root.number, temporary, dir.number, name, 0);
  } catch (error) {
    files.unlinkat(root.number, temporary, 0);
    throw error;
  }
  return true;
}

/** Removes a symlink. @returns false when there was none */
export function removeLink(root: Fd, path: ByteString): boolean {
  const { parent, name } = splitPath(path);
  try {
    using dir = openDirectory(root, parent);
    files.unlinkat(dir.number, name, 0);
    return true;
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return false;
    throw error;
  }
}

/** Names in a directory of the repository, sorted as bytes; none when it does not exist. */
export function listDirectory(root: Fd, path: ByteString): ByteString[] {
  try {
    using dir = openDirectory(root, path);
    return files.readdir(dir.number).sort(compareBytes);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return [];
    throw error;
  }
}

/** The type bits (`S_IFMT`) of an entry's mode; symlinks are not followed. */
export function entryType(root: Fd, path: ByteString): number {
  const { parent, name } = splitPath(path);
  using dir = openDirectory(root, parent);
  return files.fstatat(dir.number, name).mode & constants.S_IFMT;
}

/**
 * All symlinks below a directory, as paths relative to it, sorted as bytes.
 * @throws BridgeError `NESTED_TOO_DEEP`: whoever may write there could have us walk, and go on, without end
 */
export function walkLinks(root: Fd, path: ByteString): ByteString[] {
  const found: ByteString[] = [];
  const left = [path];
  for (let at = left.pop(); at !== undefined; at = left.pop()) {
    if (at !== path && entryType(root, at) !== constants.S_IFDIR) {
      found.push(at.slice(path.length + 1));
      continue;
    }
    const inner = listDirectory(root, at).map((name) => `${at}/${name}`);
    inner.forEach(checkDepth);
    left.push(...inner.reverse());
  }
  return found;
}

/** @throws BridgeError `NESTED_TOO_DEEP` for a path that the system does not take in one piece */
export function checkDepth(path: ByteString): void {
  if (path.length <= PATH_LIMIT) return;
  throw new BridgeError(
    'NESTED_TOO_DEEP',
    `${showBytes(path.slice(0, 60))}… is nested deeper than any ref: a path has at most ${PATH_LIMIT} bytes; ` +
      'remove that folder',
  );
}

/**
 * Opens a directory of the repository, `''` being the repository itself.
 * @throws BridgeError `ELOOP` for a symlink, which could lead anywhere
 */
export function openDirectory(root: Fd, path: ByteString): Fd {
  if (path === '') return root.duplicate();
  try {
    return openBeneath(root, path, DIRECTORY);
  } catch (error) {
    if (!isErrno(error, 'ELOOP')) throw error;
    throw new BridgeError(
      'ELOOP',
      `${showBytes(path)} in the repository is a symlink or behind one; put the folder itself there, or mount it there`,
      { cause: error },
    );
  }
}

/** Opens a directory of the repository, after making it and those above it. */
export function makeDirectories(root: Fd, path: ByteString): Fd {
  let at = root.duplicate();
  try {
    for (const name of path === '' ? [] : path.split('/')) {
      try {
        // Who else may write a folder could exchange what is in it: not even a umask may allow it.
        files.mkdirat(at.number, name, 0o755);
      } catch (error) {
        if (!isErrno(error, 'EEXIST')) throw error;
      }
      using above = at;
      at = openDirectory(above, name);
    }
    return at;
  } catch (error) {
    at.close();
    throw error;
  }
}

export function compareBytes(a: ByteString, b: ByteString): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function splitPath(path: ByteString): { parent: ByteString; name: ByteString } {
  const slash = path.lastIndexOf('/');
  return { parent: path.slice(0, Math.max(slash, 0)), name: path.slice(slash + 1) };
}

function makeTemporaryLink(root: Fd, target: ByteString): ByteString {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const name = temporaryLinkName();
    if (trySymlink(target, root, name)) return name;
  }
  throw new BridgeError('TEMPORARY_NAME', `no free temporary name in ${ATTEMPTS} attempts`);
}

function trySymlink(target: ByteString, dir: Fd, name: ByteString): boolean {
  try {
    files.symlinkat(target, dir.number, name);
    return true;
  } catch (error) {
    if (isErrno(error, 'EEXIST')) return false;
    throw error;
  }
}
