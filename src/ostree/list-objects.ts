import type { Abortable } from '../abortable.js';
import type { Repository } from '../repository/repository.js';
import { describeObjects, type CommitObject } from './inspect.js';
import { resolveStored } from './refs.js';
import { readStored } from './stream/read-commit.js';

/**
 * All objects of a commit of the repository, sorted by their ids.
 * @param source its name, its id, or the first digits of that
 * @throws as `inspectCommit`
 * @example
 * ```ts
 * import { listCommitObjects, Repository } from 'composefs-bridge';
 *
 * using repository = await Repository.open('/var/lib/commits');
 * for await (const { kind, size, mode } of listCommitObjects(repository, 'web/stable'))
 *   if (kind === 'file') console.log(size, mode); // 3 0100644
 * ```
 */
export async function* listCommitObjects(
  repository: Repository,
  source: string,
  { signal }: Abortable = {},
): AsyncGenerator<CommitObject, void, void> {
  const stored = await readStored(repository, resolveStored(repository, source), signal);
  for (const object of describeObjects(stored, repository.algorithm)) {
    signal?.throwIfAborted();
    yield object;
  }
}
