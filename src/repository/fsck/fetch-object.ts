import { constants } from 'node:fs';
import { isErrno, openBeneath, type Fd } from '../../fd/fd.js';
import { verityDigest, verityDigestOfFd } from '../../fsverity/digest.js';
import { objectPath, type ObjectId } from '../../fsverity/object-id.js';
import type { ObjectStore } from '../objects.js';
import { storeFile } from '../store-content.js';
import { readSmallFile } from '../../fd/read-file.js';
import { WHOLE_CONTENT_LIMIT } from '../../limits.js';

/**
 * Takes an object out of an `objects/` folder, another repository's or the store's own one, after making sure that its
 * content is right. A damaged object in the store is replaced in one step.
 * @param from the folder, of objects with the same algorithm
 * @returns false when it is not there, or damaged there, too
 * @throws BridgeError when it cannot be stored; the signal's reason
 */
export async function fetchObject(from: Fd, to: ObjectStore, id: ObjectId, signal?: AbortSignal): Promise<boolean> {
  using file = openObject(from, id);
  if (file === undefined) return false;
  const { size } = file.stat();
  if (size <= WHOLE_CONTENT_LIMIT) {
    const bytes = await readable(async () => readSmallFile(file, WHOLE_CONTENT_LIMIT));
    if (bytes === undefined || verityDigest(bytes, to.algorithm).toString('hex') !== id) return false;
    await to.put(bytes);
    return true;
  }
  const digest = await readable(() => verityDigestOfFd(file, to.algorithm, { signal }));
  if (digest?.toString('hex') !== id) return false;
  // Damage to an inode that is shared would be damage to both.
  return (await storeFile(to, file.move(), size)) === id;
}

/** Undefined when the disk, or the kernel by fs-verity, does not give the content. */
async function readable<T>(read: () => Promise<T>): Promise<T | undefined> {
  try {
    return await read();
  } catch (error) {
    if (isErrno(error, 'EIO')) return undefined;
    throw error;
  }
}

function openObject(from: Fd, id: ObjectId): Fd | undefined {
  try {
    const file = openBeneath(from, objectPath(id), constants.O_RDONLY | constants.O_NONBLOCK);
    if ((file.stat().mode & constants.S_IFMT) === constants.S_IFREG) return file;
    file.close();
    return undefined;
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR', 'ELOOP', 'EACCES', 'EIO')) return undefined;
    throw error;
  }
}
