import { showBytes, type ByteString } from '../../bytes.js';
import { FormatError, NotFoundError } from '../../errors.js';
import type { ObjectId } from '../../fsverity/object-id.js';
import { OSTREE_CHUNK_LIMIT } from '../../limits.js';
import { commitContentId } from '../../repository/names.js';
import type { Repository } from '../../repository/repository.js';
import { CONTENT_TYPES } from '../../repository/splitstream/format.js';
import type { SplitstreamReader } from '../../repository/splitstream/reader.js';
import { contentIdOf, formOf, imageRefOf, WHOLE, type CommitForm } from '../form.js';
import type { Checksum } from '../object/checksum.js';
import { CommitObjects } from './commit-objects.js';

/** A commit in a repository. */
export interface StoredCommit {
  readonly id: Checksum;
  readonly form: CommitForm;
  /** the commit stream */
  readonly stream: ObjectId;
  /** the EROFS image, once there is one */
  readonly image: ObjectId | undefined;
  readonly objects: CommitObjects;
}

/**
 * Reads a commit of the repository; `undefined` when there is none of that id.
 * @throws FormatError for a damaged stream, or one of another commit
 */
export async function findCommit(
  repository: Repository,
  id: Checksum,
  signal?: AbortSignal,
): Promise<StoredCommit | undefined> {
  return await findStored(repository, commitContentId(id), signal);
}

/** The same, however the commit is kept. @param contentId the name of its stream */
export async function findStored(
  repository: Repository,
  contentId: ByteString,
  signal?: AbortSignal,
): Promise<StoredCommit | undefined> {
  const stream = repository.streamObject(contentId);
  if (stream === undefined) return undefined;
  using reader = repository.openStream(stream);
  const objects = await readCommitStream(reader, signal);
  const id = objects.commit;
  const form = formOf(reader.namedRefs.keys());
  if (contentIdOf(id, form) !== contentId)
    throw new FormatError('OSTREE_STREAM', `stream ${showBytes(contentId)} has commit ${id}; fsck tells more`);
  return { id, form, stream, image: reader.namedRefs.get(imageRefOf(form)), objects };
}

/** The same in the form that is wanted, or else as cfsctl keeps it. */
export async function findInForm(
  repository: Repository,
  id: Checksum,
  form: CommitForm,
  signal?: AbortSignal,
): Promise<StoredCommit | undefined> {
  return (await findStored(repository, contentIdOf(id, form), signal)) ?? (await findCommit(repository, id, signal));
}

/** The name of a stream that has all of a commit, however it is kept; undefined when the repository has none. */
export function completeStream(repository: Repository, id: Checksum): ByteString | undefined {
  return [WHOLE, { ...WHOLE, fixXattrs: true }]
    .map((form) => contentIdOf(id, form))
    .find((contentId) => repository.streamObject(contentId) !== undefined);
}

/** @throws NotFoundError when there is no such stream, and as `findCommit` */
export async function readStored(
  repository: Repository,
  contentId: ByteString,
  signal?: AbortSignal,
): Promise<StoredCommit> {
  const commit = await findStored(repository, contentId, signal);
  if (commit === undefined) throw new NotFoundError(`stream ${showBytes(contentId)} not found in repository`);
  return commit;
}

/**
 * Reads all of a commit, however it is kept.
 * @throws NotFoundError when the repository does not have it, and as `findCommit`
 */
export async function readCommit(repository: Repository, id: Checksum, signal?: AbortSignal): Promise<StoredCommit> {
  const contentId = completeStream(repository, id);
  const commit = contentId === undefined ? undefined : await findStored(repository, contentId, signal);
  if (commit === undefined) throw new NotFoundError(`ostree commit ${id} not found in repository`);
  return commit;
}

/**
 * Reads all of a commit stream into memory: the chunk has no content of files but of small ones.
 * @throws FormatError for another kind of stream, a damaged one, or one that is too large
 */
async function readCommitStream(reader: SplitstreamReader, signal?: AbortSignal): Promise<CommitObjects> {
  if (reader.contentType !== CONTENT_TYPES.ostreeCommit)
    throw new FormatError('CONTENT_TYPE', `a stream of type ${reader.contentType.toString(16)} is no ostree commit`);
  if (reader.streamSize > OSTREE_CHUNK_LIMIT)
    throw new FormatError(
      'OSTREE_STREAM',
      `a commit stream of ${reader.streamSize} bytes, at most ${OSTREE_CHUNK_LIMIT} are read`,
    );
  const chunk = Buffer.alloc(Number(reader.streamSize));
  let length = 0;
  for await (const pieces of reader.batches(signal))
    for (const piece of pieces) {
      if (piece.kind === 'object')
        throw new FormatError('OSTREE_STREAM', 'a commit stream has an object in its middle');
      if (length + piece.bytes.length > chunk.length)
        throw new FormatError('OSTREE_STREAM', 'a commit stream has more bytes than it says');
      length += piece.bytes.copy(chunk, length);
    }
  if (length < chunk.length)
    throw new FormatError('OSTREE_STREAM', `a commit stream has ${length} of ${chunk.length} bytes`);
  return new CommitObjects({ bytes: chunk, objects: reader.objects });
}
