import type { Repository } from '../../repository/repository.js';
import { WHOLE, type CommitForm } from '../form.js';
import type { Checksum } from '../object/checksum.js';
import type { ObjectSource } from '../pull/source.js';
import { findInForm } from '../stream/read-commit.js';
import type { CommitCheck } from './commit-check.js';
import type { FindDelta } from './signature-check.js';

export interface Asked {
  readonly commit: Checksum;
  /** undefined: it was asked for by its id */
  readonly ref: string | undefined;
  /** what the source says that it is called */
  readonly collection?: string | undefined;
}

/** A source whose commit is checked before anything else of it is asked for. */
export interface CheckedSource extends ObjectSource {
  /** Checks a commit that comes in another way. @throws as `CommitCheck.commit` */
  check(bytes: Buffer, signal: AbortSignal): Promise<void>;
}

/**
 * @param read the detached metadata of the commit
 * @param findDelta to the commit, whose signatures count as well
 */
export function checkedSource(
  source: ObjectSource,
  check: CommitCheck,
  { commit, ref, collection }: Asked,
  read: (signal: AbortSignal) => Promise<Buffer | undefined>,
  findDelta?: FindDelta,
): CheckedSource {
  const look = async (bytes: Buffer, signal: AbortSignal): Promise<void> =>
    check.commit(commit, bytes, ref, collection, async () => read(signal), findDelta);
  return {
    ...source,
    check: look,
    metadata: async (kind, id, signal) => {
      const bytes = await source.metadata(kind, id, signal);
      if (kind === 'commit') await look(bytes, signal);
      return bytes;
    },
  };
}

/**
 * Checks a commit that is in the repository, whole or in the form that is wanted.
 * @returns false when it is not there
 * @throws as `CommitCheck.commit`
 */
export async function checkPresent(
  repository: Repository,
  commit: Checksum,
  source: CheckedSource,
  signal: AbortSignal,
  form: CommitForm = WHOLE,
): Promise<boolean> {
  const stored = await findInForm(repository, commit, form, signal);
  if (stored === undefined) return false;
  await source.check(stored.objects.metadata('commit', commit), signal);
  return true;
}
