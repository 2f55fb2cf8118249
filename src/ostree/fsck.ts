// What fsck looks for in the streams of commits: whether each object is the one that its id says.
import type { ByteString } from '../bytes.js';
import { BridgeError, FormatError } from '../errors.js';
import type { FsckOptions } from '../repository/fsck/fsck.js';
import { commitOf, variantOf } from '../repository/names.js';
import type { Repository } from '../repository/repository.js';
import { fileChecksum } from './file-checksum.js';
import { commitTree } from './image/tree.js';
import { sha256, type Checksum } from './object/checksum.js';
import { encodeHeader } from './object/file-header.js';
import type { CommitObjects } from './stream/commit-objects.js';
import { readStored } from './stream/read-commit.js';

/**
 * Checks the stream of a commit: its structure, the digest, form and place of each commit, dirtree and dirmeta that the
 * commit leads to, and the digests of the files with their content.
 * @param metadataOnly leaves out files that are not in the stream itself, whose content has to be read
 * @returns what is wrong first; undefined also for the name of another stream
 */
async function checkCommitStream(
  repository: Repository,
  name: ByteString,
  { metadataOnly = false, signal }: { metadataOnly?: boolean; signal?: AbortSignal },
): Promise<string | undefined> {
  const id = commitOf(name) ?? variantOf(name);
  if (id === undefined) return undefined;
  try {
    const { objects, form } = await readStored(repository, name, signal);
    commitTree(objects, form);
    for (const file of filesOf(objects)) {
      signal?.throwIfAborted();
      await checkFile(repository, objects, file, metadataOnly);
    }
    return undefined;
  } catch (error) {
    if (error instanceof BridgeError) return `ostree commit ${id}: ${error.message}`;
    throw error;
  }
}

/**
 * What `fsckRepository` asks to look into commits of ostree: each object, also each file with its content, must be the
 * one that its id says.
 * @param metadataOnly leaves out files that are not in the streams themselves, whose content has to be read
 * @example
 * ```ts
 * import { commitCheck, fsckRepository, Repository } from 'composefs-bridge';
 *
 * using repository = await Repository.open('/var/lib/commits');
 * const { ok, streams } = await fsckRepository(repository, { checkCommit: commitCheck(repository) });
 * console.log(ok, streams.checked); // true 1
 * ```
 */
export function commitCheck(repository: Repository, metadataOnly = false): NonNullable<FsckOptions['checkCommit']> {
  return (name, signal) => checkCommitStream(repository, name, { metadataOnly, signal });
}

/** All that is no metadata, which the tree has verified. Objects that nothing leads to count as files. */
function filesOf(objects: CommitObjects): Checksum[] {
  return Array.from(objects).flatMap(({ id, data, object }) =>
    object === undefined && sha256(data) === id ? [] : [id],
  );
}

/**
 * Checks a file of a commit stream. Whether its object is there is the business of others.
 * @param metadataOnly leaves it out unless it is in the stream itself
 * @throws FormatError `OSTREE_STREAM` when it is another one than its id says, or has no form
 */
export async function checkFile(
  repository: Repository,
  objects: CommitObjects,
  id: Checksum,
  metadataOnly: boolean,
): Promise<void> {
  const { header, size, inline, object } = objects.file(id);
  if (object === undefined) return checkDigest(id, sha256(Buffer.concat([encodeHeader(header), inline])));
  if (metadataOnly || !repository.objects.has(object)) return;
  using content = repository.objects.open(object);
  if (BigInt(content.stat().size) !== size)
    throw new FormatError('OSTREE_STREAM', `file ${id} has ${content.stat().size} bytes instead of ${size}`);
  checkDigest(id, await fileChecksum(repository, header, content));
}

function checkDigest(id: Checksum, actual: Checksum): void {
  if (actual !== id) throw new FormatError('OSTREE_STREAM', `file ${id} has the content of ${actual}`);
}
