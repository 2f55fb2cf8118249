import { printable } from '../../bytes.js';
import { BridgeError, NotFoundError } from '../../errors.js';
import { takePolicy } from '../../repository/local-fetch.js';
import type { Repository } from '../../repository/repository.js';
import { canonicalForm, contentIdOf, imageRefOf, isWhole, nameOf, type CommitForm } from '../form.js';
import { inPlace } from '../in-place.js';
import type { PullLocalOptions } from '../local/pull-local.js';
import { isChecksum } from '../object/checksum.js';
import { pullCommit, type PulledCommit } from '../pull/pull.js';
import { readStoredRef } from '../refs.js';
import { completeStream, readStored, type StoredCommit } from '../stream/read-commit.js';
import { storedSource } from './stored-source.js';

/**
 * Brings a commit of another repository into this one, which may use another digest algorithm, and makes its image.
 * Nothing of the other one is believed: each object is checked against its id.
 * @param from open for reading
 * @param to open for writing
 * @param ref a name there, which becomes the commit's name here, or the id of a commit, which gets none. A commit that
 *   is kept in a form of its own there, such as a part, is kept like that here
 * @throws NotFoundError for a name, commit, object or base that is not there; DigestMismatchError and FormatError for
 *   what is damaged, and nothing gets a name then; BridgeError `INVALID_NAME` for a form of a part, and
 *   `OSTREE_SIGNATURE` with keys, since repositories keep no signatures
 * @example
 * ```ts
 * import { copyCommit, Repository } from 'composefs-bridge';
 *
 * using from = await Repository.open('/var/lib/commits');
 * using to = await Repository.open('/srv/backup', { write: true });
 * console.log((await copyCommit(from, to, 'web/stable')).ref); // web/stable
 * ```
 */
export async function copyCommit(
  from: Repository,
  to: Repository,
  ref: string,
  options: PullLocalOptions = {},
): Promise<PulledCommit> {
  const signal = options.signal ?? new AbortController().signal;
  const { base, erofsVersion, localFetch = 'auto', keys, onProgress } = options;
  if (keys !== undefined)
    throw new BridgeError(
      'OSTREE_SIGNATURE',
      `${from.path} is a composefs repository, and these keep no signatures of commits: nobody can tell who signed ` +
        printable(ref),
    );
  const { stored, form, name } = await find(from, ref, canonicalForm(options.form), signal);
  const policy = takePolicy(localFetch, {
    trusted: from.believed,
    verityRequired: to.verityRequired,
    // What is sealed there may be linked; nothing is sealed for it.
    sealSource: from.verityRequired,
  });
  const source = storedSource(from, async () => [stored.objects], policy);
  return await pullCommit(to, source, stored.id, {
    name,
    base,
    form,
    erofsVersion,
    signal,
    ...(onProgress && { onProgress }),
  });
}

interface Found {
  readonly stored: StoredCommit;
  /** how it is to be kept */
  readonly form: CommitForm;
  /** what it is to be called */
  readonly name: string | undefined;
}

async function find(from: Repository, ref: string, form: CommitForm, signal: AbortSignal): Promise<Found> {
  const read = async (contentId: string): Promise<StoredCommit> => {
    try {
      return await readStored(from, contentId, signal);
    } catch (error) {
      throw inPlace(error, from.path);
    }
  };
  if (isChecksum(ref)) {
    const id = ref.toLowerCase();
    const same = contentIdOf(id, form);
    const contentId = from.streamObject(same) === undefined ? completeStream(from, id) : same;
    if (contentId === undefined) throw new NotFoundError(`${from.path} does not have all of commit ${id}`);
    return { stored: await read(contentId), form, name: undefined };
  }
  const contentId = readStoredRef(from, ref) ?? readStoredRef(from, nameOf(ref, form));
  if (contentId === undefined) throw new NotFoundError(`${from.path} has no commit of the name ${printable(ref)}`);
  const stored = await read(contentId);
  if (isWhole(stored.form)) return { stored, form, name: nameOf(ref, form) };
  if (isWhole(form)) return { stored, form: stored.form, name: ref };
  if (imageRefOf(form) === imageRefOf(stored.form)) return { stored, form, name: nameOf(ref, form) };
  throw new BridgeError(
    'INVALID_NAME',
    `${printable(ref)} of ${from.path} is a commit in a form of its own, and comes in no other: name the whole commit`,
  );
}
