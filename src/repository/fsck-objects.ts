import { constants } from 'node:fs';
import { availableParallelism } from 'node:os';
import type { ByteString } from '../bytes.js';
import { isErrno, openBeneath, type Fd } from '../fd/fd.js';
import { verityDigestOfFd } from '../fsverity/digest.js';
import { files } from '../native.js';
import type { FsckReport } from './fsck-report.js';
import { listDirectory } from './links.js';
import { DIGEST_SIZE, objectPath, type ObjectId } from './object-id.js';
import type { Repository } from './repository.js';

const FAN_OUT = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));
/** Two per processor: one is read while another is hashed. */
const PARALLEL = 2 * availableParallelism();

/** Ids of all objects by their names, and the names that are none (paths below the repository). */
export function listObjects(repository: Repository): { ids: ObjectId[]; invalid: ByteString[] } {
  const ids: ObjectId[] = [];
  const invalid: ByteString[] = [];
  const rest = new RegExp(`^[0-9a-f]{${2 * DIGEST_SIZE[repository.algorithm] - 2}}$`);
  for (const first of FAN_OUT) {
    for (const name of listFolder(repository, first, invalid)) {
      if (rest.test(name)) ids.push(first + name);
      else invalid.push(`objects/${first}/${name}`);
    }
  }
  return { ids, invalid };
}

function listFolder(repository: Repository, first: ByteString, invalid: ByteString[]): ByteString[] {
  try {
    return listDirectory(repository.root, `objects/${first}`);
  } catch (error) {
    if (!isErrno(error, 'ENOTDIR', 'ELOOP')) throw error;
    invalid.push(`objects/${first}`);
    return [];
  }
}

/**
 * Computes every object's digest, several at a time, and reports those that have another.
 * @param ids from `listObjects`
 */
export async function checkObjects(repository: Repository, ids: readonly ObjectId[], report: FsckReport, signal?: AbortSignal): Promise<void> {
  let next = 0;
  const work = async (): Promise<void> => {
    for (let id = ids[next++]; id !== undefined; id = ids[next++]) {
      signal?.throwIfAborted();
      report.objects.checked++;
      if (!(await checkObject(repository, id, report, signal))) report.objects.corrupted++;
    }
  };
  await Promise.all(Array.from({ length: PARALLEL }, work));
  // Whoever finishes first must not decide the order.
  report.errors.sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0));
}

async function checkObject(repository: Repository, id: ObjectId, report: FsckReport, signal?: AbortSignal): Promise<boolean> {
  const path = `objects/${objectPath(id)}`;
  let file: Fd;
  try {
    file = openBeneath(repository.root, path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    report.add('object-open-failed', path, messageOf(error));
    return false;
  }
  using fd = file;
  if ((fd.stat().mode & constants.S_IFMT) !== constants.S_IFREG) {
    report.add('object-open-failed', path, 'not a regular file');
    return false;
  }
  try {
    const measured = files.measureVerity(fd.number);
    if (measured === null && repository.verityRequired) {
      report.add('object-verity-missing', path);
      return false;
    }
    const actual = (measured ?? (await verityDigestOfFd(fd, repository.algorithm, signal))).toString('hex');
    if (actual === id) return true;
    report.add('object-digest-mismatch', path, `measured ${actual}`);
  } catch (error) {
    signal?.throwIfAborted();
    report.add('object-verity-failed', path, messageOf(error));
  }
  return false;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
