import { constants } from 'node:fs';
import { FormatError, NoRepositoryError } from '../errors.js';
import { isErrno, openBeneath, type Fd } from '../fd/fd.js';
import { readSmallFile } from '../fd/read-file.js';
import { META_LIMIT } from '../limits.js';
import { files } from '../native.js';
import { listDirectory } from './links.js';
import { parseMeta, type Meta } from './meta.js';
import { META } from './names.js';

/**
 * Reads meta.json, and whether it has fs-verity, which is what makes a repository a secure one.
 * @param path of the repository, for messages
 * @throws NotFoundError, FormatError
 */
export function readMeta(root: Fd, path: string): { meta: Meta; verity: boolean } {
  let file: Fd;
  try {
    file = openBeneath(root, META, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    if (isErrno(error, 'ENOENT'))
      throw new NoRepositoryError(path, `${META} not found in ${path}; this repository must be initialized`, {
        cause: error,
      });
    throw error;
  }
  using owned = file;
  return { meta: parseMetaFile(owned, path), verity: files.measureVerity(owned.number) !== undefined };
}

function parseMetaFile(file: Fd, path: string): Meta {
  try {
    return parseMeta(readSmallFile(file, META_LIMIT).toString('utf8'));
  } catch (error) {
    if (error instanceof FormatError)
      throw new FormatError(error.code, `${path}/${META}: ${error.message}`, { cause: error });
    throw error;
  }
}

export function hasMeta(root: Fd): boolean {
  return listDirectory(root, '').includes(META);
}
