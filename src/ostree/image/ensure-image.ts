import type { Abortable } from '../../abortable.js';
import type { ErofsVersion } from '../../erofs/format/options.js';
import type { ObjectId } from '../../fsverity/object-id.js';
import { erofsVersions } from '../../repository/meta.js';
import type { Repository } from '../../repository/repository.js';
import { resolveStored } from '../refs.js';
import { readStored, type StoredCommit } from '../stream/read-commit.js';
import { publishCommit, type PublishedCommit } from './commit-image.js';

export interface CommitImageOptions extends Abortable {
  /** of EROFS, for an image that is made; default: what the repository says */
  erofsVersion?: ErofsVersion | undefined;
}

/**
 * The image of a commit of the repository, which is made and stored when there is none.
 * @param repository open for writing, unless there is one
 * @param source name or id of the commit, or the first digits of that
 * @throws as `inspectCommit`; BridgeError `REPOSITORY_READ_ONLY`
 * @example
 * ```ts
 * import { commitImage, inspectCommit, Repository } from 'composefs-bridge';
 *
 * using repository = await Repository.open('/var/lib/commits', { write: true });
 * const image = await commitImage(repository, 'web/stable');
 * console.log((await inspectCommit(repository, 'web/stable')).image === image); // true
 * ```
 */
export async function commitImage(
  repository: Repository,
  source: string,
  { erofsVersion = erofsVersions(repository.meta)[0] ?? 1, signal }: CommitImageOptions = {},
): Promise<ObjectId> {
  const stored = await readStored(repository, resolveStored(repository, source), signal);
  const { image } = stored;
  if (image !== undefined && repository.hasImage(image) && repository.objects.has(image)) return image;
  return (await ensureImage(repository, stored, erofsVersion)).image;
}

/**
 * The same of one that was read.
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
