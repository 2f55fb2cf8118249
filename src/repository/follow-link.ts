import { constants } from 'node:fs';
import { showBytes, type ByteString } from '../bytes.js';
import { BridgeError } from '../errors.js';
import { isErrno, type Fd } from '../fd/fd.js';
import { entryType, readLink } from './links.js';

/** More than any chain of names: a ref leads to a name, and that to an object. */
const MOST_LINKS = 8;

/**
 * Where a name of a repository leads in the end, going by what its links say. The kernel follows none of them: a folder
 * on the way may have been exchanged for a symlink to elsewhere.
 * @param path of the name, below the repository
 * @returns `found`, `missing`, or what is wrong, in words
 */
export function followLink(root: Fd, path: ByteString): string {
  let at = path;
  for (let links = 0; links <= MOST_LINKS; links++) {
    try {
      if (entryType(root, at) !== constants.S_IFLNK) return 'found';
    } catch (error) {
      if (isErrno(error, 'ENOENT', 'ENOTDIR', 'ENAMETOOLONG')) return 'missing';
      if (error instanceof BridgeError) return error.message;
      throw error;
    }
    const target = readLink(root, at) ?? '';
    const next = resolveTarget(at, target);
    if (next === undefined) return `leads out of the repository, to ${showBytes(target)}`;
    at = next;
  }
  return 'leads from one link to the next and to no object';
}

/** A link's target as a path below the repository; undefined when it is not in there. */
function resolveTarget(path: ByteString, target: ByteString): ByteString | undefined {
  if (target.startsWith('/')) return undefined;
  const parts = path.split('/').slice(0, -1);
  for (const part of target.split('/')) {
    if (part === '' || part === '.') continue;
    if (part !== '..') parts.push(part);
    else if (parts.pop() === undefined) return undefined;
  }
  return parts.join('/');
}
