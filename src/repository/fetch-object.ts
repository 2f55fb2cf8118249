import { constants } from 'node:fs';
import { isErrno, openBeneath, type Fd } from '../fd/fd.js';
import { verityDigest, verityDigestOfFd } from '../fsverity/digest.js';
import { Batch } from './batch.js';
import { objectPath, type ObjectId } from './object-id.js';
import type { ObjectStore, TakePolicy } from './objects.js';
import { readSmallFile } from './read-file.js';

/** Up to this size an object is stored in one piece, in bytes. */
const MEMORY_LIMIT = 1 << 20;
/** Inodes are never shared: damage to one would be damage to both. */
const POLICY: TakePolicy = { store: true, reflink: true, hardlink: false, copy: true, sealSource: false, trusted: false };

/**
 * Takes an object out of an `objects/` folder, another repository's or the store's own one, after making sure that its content is right.
 * A damaged object in the store is replaced in one step.
 * @param from the folder, of objects with the same algorithm
 * @returns false when it is not there, or damaged there, too
 * @throws BridgeError when it cannot be stored; the signal's reason
 */
export async function fetchObject(from: Fd, to: ObjectStore, id: ObjectId, signal?: AbortSignal): Promise<boolean> {
  using file = openObject(from, id);
  if (file === undefined) return false;
  const { size } = file.stat();
  if (size <= MEMORY_LIMIT) {
    const bytes = await readable(async () => readSmallFile(file, MEMORY_LIMIT));
    if (bytes === undefined || verityDigest(bytes, to.algorithm).toString('hex') !== id) return false;
    await to.put(bytes);
    return true;
  }
  const digest = await readable(() => verityDigestOfFd(file, to.algorithm, signal));
  if (digest?.toString('hex') !== id) return false;
  const batch = new Batch();
  batch.open(file.move(), size);
  const [result] = await to.ingest(POLICY).submit(batch);
  return result !== undefined && result.outcome !== 'small' && result.id === id;
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
