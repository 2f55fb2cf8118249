import { constants } from 'node:fs';
import { BridgeError, FormatError, NotFoundError } from '../../errors.js';
import type { Fd } from '../../fd/fd.js';
import type { ObjectId } from '../../fsverity/object-id.js';
import { OSTREE_BASES_LIMIT } from '../../limits.js';
import type { LayerPolicy } from '../../repository/local-fetch.js';
import type { Repository } from '../../repository/repository.js';
import type { Checksum } from '../object/checksum.js';
import type { ObjectSource, SourceFile } from '../pull/source.js';
import { listStored } from '../refs.js';
import type { CommitObjects, StoredEntry } from '../stream/commit-objects.js';
import { findStored } from '../stream/read-commit.js';

/** So many files are opened at the same time. */
const PARALLEL = 16;

/**
 * Reads the objects of commits that another repository has.
 * @param commits of it; what is damaged in one may be right in the next
 */
export function storedSource(
  repository: Repository,
  commits: (signal: AbortSignal) => Promise<readonly CommitObjects[]>,
  policy: LayerPolicy,
): ObjectSource {
  return {
    parallel: PARALLEL,
    policy,
    metadata: async (kind, id, signal) =>
      firstOf(await commits(signal), kind, id, (objects) => objects.metadata(kind, id)),
    file: async (id, signal) =>
      firstOf(await commits(signal), 'file', id, (objects, entry) => openFile(repository, objects, entry)),
  };
}

/** All commits of a repository that are whole, as many as may be in memory. */
export async function readAllCommits(repository: Repository, signal: AbortSignal): Promise<CommitObjects[]> {
  const all: CommitObjects[] = [];
  let size = 0;
  for (const contentId of listStored(repository)) {
    if (size > OSTREE_BASES_LIMIT) break;
    try {
      const objects = (await findStored(repository, contentId, signal))?.objects;
      if (objects === undefined) continue;
      all.push(objects);
      size += objects.size;
    } catch (error) {
      // A damaged commit is as good as none.
      if (!(error instanceof BridgeError)) throw error;
    }
  }
  return all;
}

function firstOf<T>(
  commits: readonly CommitObjects[],
  kind: string,
  id: Checksum,
  read: (objects: CommitObjects, entry: StoredEntry) => T,
): T {
  let failure: unknown;
  for (const objects of commits) {
    const entry = objects.find(id);
    if (entry === undefined) continue;
    try {
      return read(objects, entry);
    } catch (error) {
      if (!(error instanceof BridgeError)) throw error;
      failure ??= error;
    }
  }
  throw failure ?? new NotFoundError(`Missing ${kind} ${id}: the other repository's commit does not have it`);
}

/** The header is the stream's, the content the other repository's object, of which nothing is believed. */
function openFile(repository: Repository, objects: CommitObjects, entry: StoredEntry): SourceFile {
  const { header, size, inline, object } = objects.fileAt(entry.index);
  if (object === undefined)
    return {
      header,
      size: inline.length,
      content: inline.length === 0 ? { kind: 'none' } : { kind: 'bytes', bytes: inline },
    };
  using file = openObject(repository, entry.id, object);
  const stat = file.stat();
  if ((stat.mode & constants.S_IFMT) !== constants.S_IFREG)
    throw new FormatError('OBJECT_TYPE', `object ${object}, the content of file ${entry.id}, is not a regular file`);
  if (BigInt(stat.size) !== size)
    throw new FormatError('OSTREE_STREAM', `file ${entry.id} has ${stat.size} bytes instead of ${size}`);
  return { header, size: stat.size, content: { kind: 'file', fd: file.move() } };
}

function openObject(repository: Repository, id: Checksum, object: ObjectId): Fd {
  try {
    return repository.objects.open(object);
  } catch (cause) {
    if (!(cause instanceof NotFoundError)) throw cause;
    throw new NotFoundError(`object ${object}, the content of file ${id}, is missing in ${repository.path}`, { cause });
  }
}
