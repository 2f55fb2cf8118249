import { createHash } from 'node:crypto';
import { BridgeError, DigestMismatchError, FormatError, NotFoundError } from '../../errors.js';
import { printable } from '../../bytes.js';
import { OSTREE_METADATA_LIMIT, OSTREE_REF_LIMIT, OSTREE_SUMMARY_LIMIT } from '../../limits.js';
import type { Fd } from '../../fd/fd.js';
import { commitContentId } from '../../repository/names.js';
import type { Repository } from '../../repository/repository.js';
import { applyDeltaParts, counting, readBase } from '../delta/apply.js';
import { FileRange } from '../delta/byte-range.js';
import { chooseDelta, type OfferedDelta } from '../delta/find.js';
import { deltaFolder, deltaIndexPath } from '../delta/names.js';
import { namelessFile } from '../delta/nameless-file.js';
import { parseSuperblock, type Superblock } from '../delta/superblock.js';
import { inPlace } from '../in-place.js';
import { isChecksum, type Checksum } from '../object/checksum.js';
import { CommitImporter } from '../pull/importer.js';
import { pullCommit, type PullCommitOptions, type PulledCommit } from '../pull/pull.js';
import type { ObjectSource } from '../pull/source.js';
import { checkedSource, checkPresent } from '../verify/checked-source.js';
import { CommitCheck, type CommitCheckOptions } from '../verify/commit-check.js';
import { fetchSummary } from './fetch-summary.js';
import type { OstreeRemote } from './remote.js';
import { objectPath, remoteSource } from './source.js';
import { parseDeltaIndex, type Summary } from './summary.js';

export interface PullRemoteOptions
  extends Omit<PullCommitOptions, 'ref' | 'name' | 'importer' | 'from'>,
    CommitCheckOptions {
  /** false: objects are fetched one by one, whatever deltas there are */
  deltas?: boolean | undefined;
  /** a delta is used from now on */
  onDelta?: ((delta: OfferedDelta) => void) | undefined;
  /** what users should know */
  onWarning?: ((text: string) => void) | undefined;
}

/**
 * Brings a commit of a repository that a server has into this one, with its image: by a delta when there is one, else
 * object by object.
 * @param ref a ref, which becomes the commit's name, or the id of a commit, which gets none
 * @throws as `pullCommit`; BridgeError `OSTREE_STATUS`; HttpError; for deltas FormatError `OSTREE_DELTA`; with keys
 *   BridgeError `OSTREE_SIGNATURE`, `OSTREE_BINDING`, `OSTREE_DOWNGRADE`
 */
export async function pullRemoteCommit(
  repository: Repository,
  remote: OstreeRemote,
  ref: string,
  options: PullRemoteOptions = {},
): Promise<PulledCommit> {
  const signal = options.signal ?? new AbortController().signal;
  const name = isChecksum(ref) ? undefined : ref;
  const check = new CommitCheck(repository, { ...options, signal });
  const { commit, summary } = await resolve(repository, remote, ref, name, check, { ...options, signal });
  const pull = { ...options, ref: name, signal, resumable: true };
  const asked = { commit, ref: name, collection: summary?.collection };
  // They bring all of a commit.
  const deltas = options.deltas !== false && (options.form?.subpaths ?? []).length === 0;
  using delta = new DeltaFinder(async () => {
    const offered = deltas ? await findDelta(repository, remote, summary, commit, signal) : undefined;
    return offered && (await fetchSuperblock(repository, remote, offered, signal));
  });
  const source = checkedSource(
    remoteSource(remote),
    check,
    asked,
    async (stop) => remote.bytes(objectPath(commit, 'commitmeta'), OSTREE_METADATA_LIMIT, stop),
    () => delta.find(),
  );
  if (await checkPresent(repository, commit, source, signal, options.form))
    return await pullCommit(repository, source, commit, pull);
  const superblock = await delta.find();
  if (superblock === undefined) return await pullCommit(repository, source, commit, pull);
  await source.check(superblock.commit, signal);
  options.onDelta?.(superblock.offered);
  return await pullByDelta(repository, remote, superblock, source, pull);
}

type OpenSuperblock = Superblock & Disposable & { readonly offered: OfferedDelta };

/** The beginning of the delta to a commit, which is looked for when it is first asked for. */
class DeltaFinder implements Disposable {
  readonly #find: () => Promise<OpenSuperblock | undefined>;
  #finding: Promise<OpenSuperblock | undefined> | undefined;
  #found: OpenSuperblock | undefined;

  constructor(find: () => Promise<OpenSuperblock | undefined>) {
    this.#find = find;
  }

  /** @returns undefined when there is none */
  async find(): Promise<OpenSuperblock | undefined> {
    this.#finding ??= this.#find();
    return (this.#found = await this.#finding);
  }

  [Symbol.dispose](): void {
    this.#found?.[Symbol.dispose]();
  }
}

interface Resolved {
  readonly commit: Checksum;
  readonly summary: Summary | undefined;
}

async function resolve(
  repository: Repository,
  remote: OstreeRemote,
  ref: string,
  name: string | undefined,
  check: CommitCheck,
  options: PullRemoteOptions & { signal: AbortSignal },
): Promise<Resolved> {
  const { signal } = options;
  if (name !== undefined) checkRefName(name);
  const id = ref.toLowerCase();
  // What there is to know of a commit that is asked for by its id are its deltas.
  const wanted =
    name !== undefined || (options.deltas !== false && repository.streamObject(commitContentId(id)) === undefined);
  const summary = wanted
    ? await fetchSummary(remote, repository, { signal, check: check.signatures, onWarning: options.onWarning })
    : undefined;
  if (name === undefined) return { commit: id, summary };
  const commit = summary?.refs.get(name) ?? (await fetchRef(remote, name, signal));
  return { commit, summary };
}

/** @throws NotFoundError, FormatError `OSTREE_REPOSITORY` */
async function fetchRef(remote: OstreeRemote, name: string, signal: AbortSignal): Promise<Checksum> {
  const path = `refs/heads/${encodeURIComponent(name)}`;
  const bytes = await remote.bytes(path, OSTREE_REF_LIMIT, signal).catch((error: unknown) => {
    if (error instanceof BridgeError && error.code === 'HTTP_SIZE') return Buffer.alloc(0);
    throw error;
  });
  if (bytes === undefined)
    throw new NotFoundError(`the repository has no ref ${printable(name)}: ${remote.at(path).href} is not there`);
  const text = bytes.toString('latin1').trim();
  if (!isChecksum(text))
    throw new FormatError('OSTREE_REPOSITORY', `${remote.at(path).href} has no id of a commit in it`);
  return text.toLowerCase();
}

async function findDelta(
  repository: Repository,
  remote: OstreeRemote,
  summary: Summary | undefined,
  to: Checksum,
  signal: AbortSignal,
): Promise<OfferedDelta | undefined> {
  if (summary?.deltas !== undefined) return chooseDelta(repository, summary.deltas, to);
  const path = deltaIndexPath(to);
  const index = await remote.bytes(path, OSTREE_SUMMARY_LIMIT, signal);
  if (index === undefined) return undefined;
  try {
    return chooseDelta(repository, parseDeltaIndex(index), to);
  } catch (error) {
    throw inPlace(error, remote.at(path).href);
  }
}

/** @returns undefined when the server does not have what it offers */
async function fetchSuperblock(
  repository: Repository,
  remote: OstreeRemote,
  offered: OfferedDelta,
  signal: AbortSignal,
): Promise<OpenSuperblock | undefined> {
  const { from, to, digest } = offered;
  const path = `${deltaFolder(from, to)}/superblock`;
  const what = 'the beginning of the delta';
  const hash = createHash('sha256');
  let file: Fd | undefined;
  try {
    file = await namelessFile(
      repository.root,
      remote.pieces(path, signal),
      what,
      OSTREE_METADATA_LIMIT,
      (piece) => hash.update(piece),
      () => {
        const actual = hash.digest('hex');
        if (actual !== digest) throw new DigestMismatchError(`${what} ${digest}`, digest, actual);
      },
    );
    const superblock = parseSuperblock(new FileRange(file, 0, file.stat().size));
    if (superblock.from !== from || superblock.to !== to)
      throw new FormatError(
        'OSTREE_DELTA',
        `the delta is another one: from ${superblock.from ?? 'nothing'} to ${superblock.to}`,
      );
    const open = file;
    return Object.assign(superblock, { offered, [Symbol.dispose]: () => open.close() });
  } catch (error) {
    file?.close();
    if (error instanceof NotFoundError) return undefined;
    throw inPlace(error, remote.at(path).href);
  }
}

/** A part is not there. What the others made is right all the same. */
class PartMissing extends NotFoundError {}

async function pullByDelta(
  repository: Repository,
  remote: OstreeRemote,
  superblock: Superblock,
  source: ObjectSource,
  options: PullCommitOptions & { signal: AbortSignal },
): Promise<PulledCommit> {
  const { from, to, parts, fallbacks } = superblock;
  const { signal } = options;
  await using importer = new CommitImporter(repository, source.policy);
  const base = await readBase(repository, from, signal);
  const readPart = async function* (index: number, stop: AbortSignal): AsyncGenerator<Buffer, void, void> {
    const path = `${deltaFolder(from, to)}/${index}`;
    try {
      yield* remote.pieces(path, stop);
    } catch (cause) {
      throw cause instanceof NotFoundError ? new PartMissing(cause.message, { cause }) : cause;
    }
  };
  const { target, counts, onProgress } = counting(importer, superblock, options.onProgress);
  let complete = true;
  try {
    await applyDeltaParts(superblock, base, repository.root, readPart, target, signal);
  } catch (error) {
    if (!(error instanceof PartMissing)) throw error;
    complete = false;
  }
  const ids = new Set(fallbacks.map(({ id }) => id));
  const rest = complete ? only(source, ids) : source;
  const pulled = await pullCommit(repository, rest, to, { ...options, importer, from: base.commit, onProgress });
  return {
    ...pulled,
    metadata: pulled.metadata + counts.metadata,
    files: pulled.files + counts.files,
    deltaParts: complete ? parts.length : undefined,
  };
}

/** @throws BridgeError `INVALID_NAME` for what is no ref of any repository */
function checkRefName(name: string): void {
  if (name.split('/').some((part) => part === '' || part === '.' || part === '..') || name.includes('\0'))
    throw new BridgeError('INVALID_NAME', `${JSON.stringify(name)} is no ref: its parts have names, and .. is none`);
}

/** Objects that a delta does not bring, though it should, are not to be fetched. */
function only(source: ObjectSource, ids: ReadonlySet<Checksum>): ObjectSource {
  const demand = (kind: string, id: Checksum): void => {
    if (!ids.has(id))
      throw new FormatError('OSTREE_DELTA', `the delta does not bring ${kind} ${id}, nor does its base have it`);
  };
  return {
    ...source,
    metadata: async (kind, id, signal) => {
      demand(kind, id);
      return await source.metadata(kind, id, signal);
    },
    file: async (id, signal) => {
      demand('file', id);
      return await source.file(id, signal);
    },
  };
}
