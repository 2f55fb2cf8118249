import type { Abortable } from '../abortable.js';
import type { ObjectId } from '../fsverity/object-id.js';
import type { Repository } from '../repository/repository.js';
import type { CommitForm } from './form.js';
import { metadataList, type MetadataValue } from './inspect.js';
import type { Checksum } from './object/checksum.js';
import { parseCommit } from './object/commit.js';
import { resolveStored } from './refs.js';
import { readStored } from './stream/read-commit.js';

/** What a commit of the repository says of itself, and where it is. */
export interface CommitDetails {
  readonly commit: Checksum;
  /** the commit stream */
  readonly stream: ObjectId;
  /** the EROFS image, once there is one */
  readonly image: ObjectId | undefined;
  readonly parent: Checksum | undefined;
  readonly subject: string;
  readonly body: string;
  /** seconds since 1970, not negative */
  readonly timestamp: bigint;
  /** the root folder: what is in it, and what it is like */
  readonly tree: Checksum;
  readonly dirmeta: Checksum;
  readonly metadata: readonly MetadataValue[];
  /** how it is kept here */
  readonly form: CommitForm;
  /** how many commits, dirtrees, dirmetas and files it consists of */
  readonly objects: number;
}

/**
 * Reads a commit of the repository.
 * @param source its name, its id, or the first digits of that
 * @throws NotFoundError when it is none of them; BridgeError `AMBIGUOUS_COMMIT`; FormatError, DigestMismatchError for a
 *   damaged one
 * @example
 * ```ts
 * import { inspectCommit, Repository } from 'composefs-bridge';
 *
 * using repository = await Repository.open('/var/lib/commits');
 * const { subject, timestamp } = await inspectCommit(repository, 'web/stable');
 * console.log(subject, timestamp); // web/stable 1000n
 * ```
 */
export async function inspectCommit(
  repository: Repository,
  source: string,
  { signal }: Abortable = {},
): Promise<CommitDetails> {
  const { id, stream, image, objects, form } = await readStored(repository, resolveStored(repository, source), signal);
  const commit = parseCommit(objects.metadata('commit', id));
  const { parent, subject, body, timestamp, tree, meta: dirmeta } = commit;
  const metadata = metadataList(commit);
  const said = { parent, subject, body, timestamp, tree, dirmeta, metadata };
  return { commit: id, stream, image, ...said, form, objects: objects.count };
}
