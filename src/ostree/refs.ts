// Names of commits in a repository: refs below streams/refs/ostree/, one file name each, and below
// streams/refs/ostree-variants/ for commits that are not kept as cfsctl keeps them.
import { bytesOf, printable, showBytes, type ByteString } from '../bytes.js';
import { BridgeError, FormatError, NotFoundError } from '../errors.js';
import {
  commitContentId,
  commitOf,
  isCommitStream,
  OSTREE_REFS,
  OSTREE_VARIANT_REFS,
  STREAMS,
  variantOf,
} from '../repository/names.js';
import { decodeRefName, encodeRefName } from '../repository/ref-name.js';
import type { Repository } from '../repository/repository.js';
import { isChecksum, type Checksum } from './object/checksum.js';

/** A name of a commit. */
export interface CommitRef {
  /** as a person types it */
  readonly name: string;
  readonly commit: Checksum;
}

/** The path of a ref below the refs of streams. @throws BridgeError `INVALID_NAME` */
function pathOfCommitRef(name: string, folder = OSTREE_REFS): ByteString {
  return `${folder}/${encodeRefName(name)}`;
}

/** @throws BridgeError `INVALID_NAME` for what can be no name of a commit */
export function checkCommitRef(name: string): void {
  pathOfCommitRef(name);
}

/**
 * All names of commits, sorted as bytes of their file names; those of commits that are kept otherwise than cfsctl does
 * come last. Refs to anything else are left out.
 * @example
 * ```ts
 * import { listCommitRefs, Repository } from 'composefs-bridge';
 *
 * using repository = await Repository.open('/var/lib/commits');
 * console.log(listCommitRefs(repository).map(({ name }) => name)); // [ 'web/stable' ]
 * ```
 */
export function listCommitRefs(repository: Repository): CommitRef[] {
  return listStoredRefs(repository).map(({ name, commit }) => ({ name, commit }));
}

/** The same, with the name of the stream that each leads to, which may not be there. */
export function listStoredRefs(repository: Repository): (CommitRef & { readonly contentId: ByteString })[] {
  const list = (folder: string, idOf: (contentId: ByteString) => Checksum | undefined) =>
    repository.listRefs(STREAMS, folder).flatMap((path) => {
      const contentId = repository.readRef(STREAMS, `${folder}/${path}`);
      const commit = contentId === undefined ? undefined : idOf(contentId);
      return commit === undefined ? [] : [{ name: decodeRefName(path), commit, contentId: contentId as ByteString }];
    });
  return [...list(OSTREE_REFS, commitOf), ...list(OSTREE_VARIANT_REFS, variantOf)];
}

/** The commit a name stands for, or undefined. @throws FormatError when the ref points at something else */
export function readCommitRef(repository: Repository, name: string): Checksum | undefined {
  return readRefIn(repository, OSTREE_REFS, name, commitOf);
}

/**
 * The stream of the commit that a name stands for, however it is kept, or undefined.
 * @throws FormatError when the ref points at something else
 */
export function readStoredRef(repository: Repository, name: string): ByteString | undefined {
  const commit = readCommitRef(repository, name);
  if (commit !== undefined) return commitContentId(commit);
  return readRefIn(repository, OSTREE_VARIANT_REFS, name, (target) =>
    variantOf(target) === undefined ? undefined : target,
  );
}

function readRefIn(
  repository: Repository,
  folder: string,
  name: string,
  meant: (target: ByteString) => ByteString | undefined,
): ByteString | undefined {
  let path: ByteString;
  try {
    path = pathOfCommitRef(name, folder);
  } catch (error) {
    // What can be no name stands for nothing.
    if (error instanceof BridgeError && error.code === 'INVALID_NAME') return undefined;
    throw error;
  }
  const target = repository.readRef(STREAMS, path);
  if (target === undefined) return undefined;
  const found = meant(target);
  if (found === undefined)
    throw new FormatError('TAG_TARGET', `ref '${printable(name)}' points to missing stream '${showBytes(target)}'`);
  return found;
}

/**
 * Gives a commit a name, in one step.
 * @returns false when it had it already
 * @throws NotFoundError when the repository has no such commit; BridgeError `INVALID_NAME`
 * @example
 * ```ts
 * import { Repository, resolveCommit, writeCommitRef } from 'composefs-bridge';
 *
 * using repository = await Repository.open('/var/lib/commits', { write: true });
 * console.log(writeCommitRef(repository, 'tested', resolveCommit(repository, 'web/stable'))); // true
 * ```
 */
export function writeCommitRef(repository: Repository, name: string, commit: Checksum): boolean {
  return writeStoredRef(repository, name, commitContentId(commit));
}

/**
 * Gives a commit another name, however it is kept.
 * @param source its name, its id, or the first digits of that
 * @returns false when it had it already
 * @throws as `resolveCommit`; BridgeError `INVALID_NAME`
 * @example
 * ```ts
 * import { Repository, tagCommit } from 'composefs-bridge';
 *
 * using repository = await Repository.open('/var/lib/commits', { write: true });
 * console.log(await tagCommit(repository, 'web/stable', 'tested')); // true
 * ```
 */
export async function tagCommit(repository: Repository, source: string, name: string): Promise<boolean> {
  const written = writeStoredRef(repository, name, resolveStored(repository, source));
  if (written) await repository.sync();
  return written;
}

/** The same of a stream, and not yet on the disk. @param contentId the name of the stream */
export function writeStoredRef(repository: Repository, name: string, contentId: ByteString): boolean {
  const [folder, other] =
    variantOf(contentId) === undefined ? [OSTREE_REFS, OSTREE_VARIANT_REFS] : [OSTREE_VARIANT_REFS, OSTREE_REFS];
  const written = repository.writeRef(STREAMS, pathOfCommitRef(name, folder), contentId);
  return repository.removeRef(STREAMS, pathOfCommitRef(name, other)) || written;
}

/**
 * Takes a name away. A commit without one goes with the next collection of garbage.
 * @returns false when there was none
 * @example
 * ```ts
 * import { removeCommitRef, Repository } from 'composefs-bridge';
 *
 * using repository = await Repository.open('/var/lib/commits', { write: true });
 * console.log(removeCommitRef(repository, 'web/stable'), removeCommitRef(repository, 'web/stable')); // true false
 * ```
 */
export function removeCommitRef(repository: Repository, name: string): boolean {
  const [whole, variant] = [OSTREE_REFS, OSTREE_VARIANT_REFS].map((folder) =>
    repository.removeRef(STREAMS, pathOfCommitRef(name, folder)),
  );
  return whole! || variant!;
}

/**
 * The stream of the commit that a person means, however it is kept: by a name, or as for `resolveCommit`.
 * @throws as `resolveCommit`
 */
export function resolveStored(repository: Repository, source: string): ByteString {
  const named = readStoredRef(repository, source);
  return named !== undefined && variantOf(named) !== undefined
    ? named
    : commitContentId(resolveCommit(repository, source));
}

/**
 * The commit that a person means: by the name of a ref, a whole id, or the first digits of one, in this order.
 * @throws NotFoundError when it is none of them; BridgeError `AMBIGUOUS_COMMIT` for digits that several begin with
 * @example
 * ```ts
 * import { Repository, resolveCommit } from 'composefs-bridge';
 *
 * using repository = await Repository.open('/var/lib/commits');
 * const commit = resolveCommit(repository, 'web/stable');
 * console.log(resolveCommit(repository, commit.slice(0, 12)) === commit); // true
 * ```
 */
export function resolveCommit(repository: Repository, source: string): Checksum {
  const named = readCommitRef(repository, source);
  if (named !== undefined) {
    if (repository.streamObject(commitContentId(named)) === undefined)
      throw new NotFoundError(`ref '${printable(source)}' points to missing stream '${commitContentId(named)}'`);
    return named;
  }
  if (!/^[0-9a-f]{1,64}$/i.test(source))
    throw new NotFoundError(`'${printable(source)}' is not a known ostree ref or valid commit ID`);
  const prefix = source.toLowerCase();
  if (isChecksum(prefix)) {
    if (repository.streamObject(bytesOf(commitContentId(prefix))) !== undefined) return prefix;
    throw new NotFoundError(`ostree commit ${prefix} not found in repository`);
  }
  const [found, other] = listCommits(repository).filter((id) => id.startsWith(prefix));
  if (found === undefined) throw new NotFoundError(`ostree commit prefix '${prefix}' not found in repository`);
  if (other !== undefined)
    throw new BridgeError('AMBIGUOUS_COMMIT', `ambiguous commit ID prefix '${printable(source)}'`);
  return found;
}

/** The names of the streams of all commits, however they are kept, sorted. */
export function listStored(repository: Repository): ByteString[] {
  return repository.listStreams().filter(isCommitStream);
}

/** The ids of all commits, sorted. */
function listCommits(repository: Repository): Checksum[] {
  return repository.listStreams().flatMap((name) => commitOf(name) ?? []);
}
