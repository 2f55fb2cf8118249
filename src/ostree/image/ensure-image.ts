import type { ErofsVersion } from '../../erofs/format/options.js';
import type { Repository } from '../../repository/repository.js';
import type { StoredCommit } from '../stream/read-commit.js';
import { publishCommit, type PublishedCommit } from './commit-image.js';

/**
 * The image of a commit of the repository, which is made when there is none.
 * @param version of EROFS, for one that is made; one that is there stays, whichever it has
 */
export async function ensureImage(
  repository: Repository,
  { stream, image, objects, form }: StoredCommit,
  version: ErofsVersion,
): Promise<PublishedCommit> {
  if (image !== undefined && repository.objects.has(image)) {
    await repository.linkImage(image);
    return { stream, image };
  }
  return publishCommit(repository, objects.whole, version, form);
}
