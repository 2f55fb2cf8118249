// Names of commits in a repository: refs below streams/refs/ostree/, one file name each.
import { bytesOf, printable, showBytes, type ByteString } from '../bytes.js';
import { BridgeError, FormatError, NotFoundError } from '../errors.js';
import { commitContentId, commitOf, OSTREE_REFS, STREAMS } from '../repository/names.js';
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
function pathOfCommitRef(name: string): ByteString {
  return `${OSTREE_REFS}/${encodeRefName(name)}`;
}

/** @throws BridgeError `INVALID_NAME` for what can be no name of a commit */
export function checkCommitRef(name: string): void {
  pathOfCommitRef(name);
}

/** All names of commits, sorted as bytes of their file names. Refs to anything else are left out. */
export function listCommitRefs(repository: Repository): CommitRef[] {
  return repository.listRefs(STREAMS, OSTREE_REFS).flatMap((path) => {
    const target = repository.readRef(STREAMS, `${OSTREE_REFS}/${path}`);
    const commit = target === undefined ? undefined : commitOf(target);
    return commit === undefined ? [] : [{ name: decodeRefName(path), commit }];
  });
}

/** The commit a name stands for, or undefined. @throws FormatError when the ref points at something else */
export function readCommitRef(repository: Repository, name: string): Checksum | undefined {
  let path: ByteString;
  try {
    path = pathOfCommitRef(name);
  } catch (error) {
    // What can be no name stands for nothing.
    if (error instanceof BridgeError && error.code === 'INVALID_NAME') return undefined;
    throw error;
  }
  const target = repository.readRef(STREAMS, path);
  if (target === undefined) return undefined;
  const commit = commitOf(target);
  if (commit === undefined)
    throw new FormatError('TAG_TARGET', `ref '${printable(name)}' points to missing stream '${showBytes(target)}'`);
  return commit;
}

/**
 * Gives a commit a name, in one step.
 * @returns false when it had it already
 * @throws NotFoundError when the repository has no such commit; BridgeError `INVALID_NAME`
 */
export function writeCommitRef(repository: Repository, name: string, commit: Checksum): boolean {
  return repository.writeRef(STREAMS, pathOfCommitRef(name), commitContentId(commit));
}

/** Takes a name away. @returns false when there was none */
export function removeCommitRef(repository: Repository, name: string): boolean {
  return repository.removeRef(STREAMS, pathOfCommitRef(name));
}

/**
 * The commit that a person means: by the name of a ref, a whole id, or the first digits of one, in this order.
 * @throws NotFoundError when it is none of them; BridgeError `AMBIGUOUS_COMMIT` for digits that several begin with
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

/** The ids of all commits, sorted. */
export function listCommits(repository: Repository): Checksum[] {
  return repository.listStreams().flatMap((name) => commitOf(name) ?? []);
}
