import type { Abortable } from '../../abortable.js';
import type { Repository } from '../../repository/repository.js';
import type { Directory } from '../../tree/tree.js';
import { resolveStored } from '../refs.js';
import { readStored } from '../stream/read-commit.js';
import { commitTree } from './tree.js';

/**
 * The file tree of a commit of the repository, as its image has it.
 * @param source its name, its id, or the first digits of that
 * @throws NotFoundError when it is none of them; BridgeError `AMBIGUOUS_COMMIT`; FormatError, DigestMismatchError for a
 *   damaged one
 * @example
 * ```ts
 * import { printDump, readCommitTree, Repository } from 'composefs-bridge';
 *
 * using repository = await Repository.open('/var/lib/commits');
 * for (const lines of printDump(await readCommitTree(repository, 'web/stable'))) process.stdout.write(lines);
 * ```
 */
export async function readCommitTree(
  repository: Repository,
  source: string,
  { signal }: Abortable = {},
): Promise<Directory> {
  const { objects, form } = await readStored(repository, resolveStored(repository, source), signal);
  return commitTree(objects, form);
}
