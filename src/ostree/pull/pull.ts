import type { Abortable } from '../../abortable.js';
import type { ErofsVersion } from '../../erofs/format/options.js';
import { DigestMismatchError, NotFoundError } from '../../errors.js';
import { erofsVersions } from '../../repository/meta.js';
import { printable } from '../../bytes.js';
import type { Repository } from '../../repository/repository.js';
import { publishCommit, type PublishedCommit } from '../image/commit-image.js';
import { ensureImage } from '../image/ensure-image.js';
import type { Checksum } from '../object/checksum.js';
import { checkCommitRef, readCommitRef, writeCommitRef } from '../refs.js';
import { findCommit } from '../stream/read-commit.js';
import { Bases } from './bases.js';
import { fetchCommit, type FetchProgress, type ObjectCounts } from './fetch-commit.js';
import { CommitImporter } from './importer.js';
import { PullJournal } from './journal.js';
import type { ObjectSource } from './source.js';

export interface PullCommitOptions extends Abortable {
  /** the name that the commit gets */
  ref?: string | undefined;
  /** a name in the repository whose commit has objects that need not be fetched */
  base?: string | undefined;
  /** a commit of the repository that the new one was made of */
  from?: Checksum | undefined;
  /** of the image; default: what the repository says */
  erofsVersion?: ErofsVersion | undefined;
  /** has objects of the commit already */
  importer?: CommitImporter | undefined;
  /** objects come from afar: one that arrived before the pull was killed is not fetched again by the next one */
  resumable?: boolean | undefined;
  onProgress?: (progress: FetchProgress) => void;
}

export interface PulledCommit extends PublishedCommit, Readonly<ObjectCounts> {
  readonly commit: Checksum;
  readonly ref: string | undefined;
}

/**
 * Brings a commit into the repository, with its image. Nothing of one that is there is fetched; it gets its name all
 * the same.
 * @param source gives the objects that no base has: the commit of `base`, the parent, the commit that had the name
 *   before, and then any other of the repository
 * @throws NotFoundError for a base that is not there, or an object that the source does not have; DigestMismatchError
 *   and FormatError for a damaged one, and nothing gets a name then; BridgeError `INVALID_NAME`
 */
export async function pullCommit(
  repository: Repository,
  source: ObjectSource,
  commit: Checksum,
  options: PullCommitOptions = {},
): Promise<PulledCommit> {
  const { ref, base, signal, onProgress, erofsVersion: version = erofsVersions(repository.meta)[0] ?? 1 } = options;
  if (ref !== undefined) checkCommitRef(ref);
  const previous = ref === undefined ? undefined : readCommitRef(repository, ref);
  const present = await findCommit(repository, commit, signal);
  if (present !== undefined) {
    const published = await ensureImage(repository, present, version);
    await name(repository, ref, commit);
    return { commit, ref, ...published, metadata: 0, files: 0, reused: 0 };
  }
  const bases = new Bases(repository, signal);
  await bases.add(base === undefined ? undefined : baseCommit(repository, base));
  await bases.add(options.from);
  await bases.add(previous);
  await bases.addOthers();
  using journal = options.resumable === true ? PullJournal.open(repository, commit) : undefined;
  const note = journal && ((...object: Parameters<PullJournal['note']>): void => journal.note(...object));
  const importer = options.importer ?? new CommitImporter(repository, source.policy, note);
  try {
    const counts = await fetchCommit(importer, commit, journal?.before(source) ?? source, bases, {
      signal,
      onProgress,
    });
    const published = await publishCommit(repository, importer.finish(commit), version);
    await name(repository, ref, commit);
    journal?.remove();
    return { commit, ref, ...published, ...counts };
  } catch (error) {
    // An object may have been damaged since.
    if (error instanceof DigestMismatchError) journal?.remove();
    throw error;
  }
}

function baseCommit(repository: Repository, base: string): Checksum {
  const commit = readCommitRef(repository, base);
  if (commit === undefined) throw new NotFoundError(`base commit ${printable(base)} not found in repository`);
  return commit;
}

async function name(repository: Repository, ref: string | undefined, commit: Checksum): Promise<void> {
  if (ref !== undefined && writeCommitRef(repository, ref, commit)) await repository.sync();
}
