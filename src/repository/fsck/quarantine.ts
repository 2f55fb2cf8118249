// Where damaged objects and foreign files go: out of the way of every reader, and not lost. Neither this program nor
// cfsctl looks into the folder.
import { randomBytes } from 'node:crypto';
import type { ByteString } from '../../bytes.js';
import { BridgeError } from '../../errors.js';
import { isErrno } from '../../fd/fd.js';
import { NAME_LIMIT } from '../../limits.js';
import { files } from '../../native.js';
import { makeDirectories, openDirectory } from '../links.js';
import { belowObjects, QUARANTINE } from '../names.js';
import type { Repository } from '../repository.js';

const RENAME_NOREPLACE = 1;
const ATTEMPTS = 16;

/**
 * Moves a file, link or folder of the repository into its quarantine, in one step and without following it.
 * @param path below the repository
 * @returns its new path, named after the old one: an object's is its digest. Undefined when there is nothing
 * @throws the file system's error
 */
export function quarantine(repository: Repository, path: ByteString): ByteString | undefined {
  const slash = path.lastIndexOf('/');
  using folder = makeDirectories(repository.root, QUARANTINE);
  using from = openDirectory(repository.root, path.slice(0, slash));
  const plain = flatName(path);
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const name = attempt === 0 ? plain : `${plain}.${randomBytes(4).toString('hex')}`;
    try {
      files.renameat2(from.number, path.slice(slash + 1), folder.number, name, RENAME_NOREPLACE);
      return `${QUARANTINE}/${name}`;
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return undefined;
      if (!isErrno(error, 'EEXIST')) throw error;
    }
  }
  throw new BridgeError('TEMPORARY_NAME', `no free name for ${path} in ${QUARANTINE}/ in ${ATTEMPTS} attempts`);
}

function flatName(path: ByteString): ByteString {
  const name = belowObjects(path)?.replace(/^([0-9a-f]{2})\/(?=[0-9a-f]{62,}$)/, '$1') ?? path;
  return name.replaceAll('/', '-').slice(0, NAME_LIMIT - 9);
}
