import type { Abortable } from '../../abortable.js';
import type { ErofsVersion } from '../../erofs/format/options.js';
import { DigestMismatchError, NotFoundError } from '../../errors.js';
import { erofsVersions } from '../../repository/meta.js';
import { commitContentId } from '../../repository/names.js';
import { printable, type ByteString } from '../../bytes.js';
import type { Repository } from '../../repository/repository.js';
import { contentIdOf, nameOf, WHOLE, type CommitForm } from '../form.js';
import { publishCommit, type PublishedCommit } from '../image/commit-image.js';
import { ensureImage } from '../image/ensure-image.js';
import type { Checksum } from '../object/checksum.js';
import { KnownTrees } from '../object/known-trees.js';
import { checkCommitRef, readStoredRef, writeStoredRef } from '../refs.js';
import { selectionOf } from '../selection.js';
import { findStored, type StoredCommit } from '../stream/read-commit.js';
import { Bases } from './bases.js';
import { fetchCommit, type ObjectCounts, type OnProgress } from './fetch-commit.js';
import { CommitImporter, type OnObject } from './importer.js';
import { PullJournal } from './journal.js';
import type { ObjectSource } from './source.js';

export interface PullCommitOptions extends Abortable {
  /** the name that the commit gets; with a form of its own there is more behind it */
  ref?: string | undefined;
  /** all of that name; default: that of `ref` in the form */
  name?: string | undefined;
  /** a name in the repository whose commit has objects that need not be fetched */
  base?: string | undefined;
  /** how it is kept; default: as cfsctl does */
  form?: CommitForm | undefined;
  /** a commit of the repository that the new one was made of */
  from?: StoredCommit | undefined;
  /** of the image; default: what the repository says */
  erofsVersion?: ErofsVersion | undefined;
  /** has objects of the commit already; disposed with the pull */
  importer?: CommitImporter | undefined;
  /** objects come from afar: one that arrived before the pull was killed is not fetched again by the next one */
  resumable?: boolean | undefined;
  onProgress?: OnProgress;
}

export interface PulledCommit extends PublishedCommit, Readonly<ObjectCounts> {
  readonly commit: Checksum;
  readonly ref: string | undefined;
  /** how many parts of a static delta brought it; undefined: it came object by object, or was there */
  readonly deltaParts: number | undefined;
}

/**
 * Brings a commit, or a part of it, into the repository, with its image. Nothing of one that is there is fetched; it
 * gets its name all the same.
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
  const { base, from, form = WHOLE, signal, onProgress } = options;
  const { erofsVersion: version = erofsVersions(repository.meta)[0] ?? 1 } = options;
  const ref = options.name ?? (options.ref === undefined ? undefined : nameOf(options.ref, form));
  if (ref !== undefined) checkCommitRef(ref);
  const stored = contentIdOf(commit, form);
  const previous = ref === undefined ? undefined : readStoredRef(repository, ref);
  const present = await findStored(repository, stored, signal);
  if (present !== undefined) {
    const published = await ensureImage(repository, present, version);
    await name(repository, ref, stored);
    return { commit, ref, ...published, metadata: 0, files: 0, reused: 0, deltaParts: undefined };
  }
  const bases = new Bases(repository, signal);
  await bases.add(base === undefined ? undefined : baseCommit(repository, base));
  if (from !== undefined) bases.addRead(from);
  await bases.add(commitContentId(commit));
  await bases.add(previous);
  await bases.addOthers();
  using journal = options.resumable === true ? PullJournal.open(repository, commit) : undefined;
  const note = journal && ((...object: Parameters<OnObject>): void => journal.note(...object));
  await using importer = options.importer ?? new CommitImporter(repository, source.policy, note);
  try {
    const trees = new KnownTrees();
    const counts = await fetchCommit(importer, commit, journal?.before(source) ?? source, bases, {
      selection: selectionOf(form),
      trees,
      signal,
      onProgress,
    });
    const published = await publishCommit(repository, await importer.finish(commit), version, form, trees);
    await name(repository, ref, stored);
    journal?.remove();
    return { commit, ref, ...published, ...counts, deltaParts: undefined };
  } catch (error) {
    // An object may have been damaged since.
    if (error instanceof DigestMismatchError) journal?.remove();
    throw error;
  }
}

function baseCommit(repository: Repository, base: string): ByteString {
  const commit = readStoredRef(repository, base);
  if (commit === undefined) throw new NotFoundError(`base commit ${printable(base)} not found in repository`);
  return commit;
}

async function name(repository: Repository, ref: string | undefined, stored: ByteString): Promise<void> {
  if (ref !== undefined && writeStoredRef(repository, ref, stored)) await repository.sync();
}
