import type { ObjectId } from '../../fsverity/object-id.js';
import type { Repository } from '../../repository/repository.js';
import { resolveStored } from '../refs.js';
import { readStored } from '../stream/read-commit.js';

/**
 * The image of a commit, if it is there; nothing is written.
 * @param source name or id of the commit, or the first digits of that
 * @throws as `readStored` and `resolveStored`
 */
export async function findImage(
  repository: Repository,
  source: string,
  signal: AbortSignal,
): Promise<ObjectId | undefined> {
  const { image } = await readStored(repository, resolveStored(repository, source), signal);
  return image !== undefined && repository.objects.has(image) ? image : undefined;
}
