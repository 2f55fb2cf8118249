import type { ErofsVersion } from '../../erofs/format/options.js';
import type { ObjectId } from '../../fsverity/object-id.js';
import type { Repository } from '../../repository/repository.js';
import { storeImage } from '../../repository/store-image.js';
import { contentIdOf, WHOLE } from '../form.js';
import type { Checksum } from '../object/checksum.js';
import type { KnownTrees } from '../object/known-trees.js';
import { CommitObjects } from '../stream/commit-objects.js';
import type { CommitChunk } from '../stream/format.js';
import { storeCommitStream } from '../stream/write-commit.js';
import { commitTree } from './tree.js';

/** Where a commit is in the repository. */
export interface PublishedCommit {
  /** the commit stream */
  readonly stream: ObjectId;
  /** the EROFS image */
  readonly image: ObjectId;
}

/**
 * Makes the image of a commit and stores its stream, which refers to that. Both get their names when all is there.
 * @param version of EROFS
 * @param trees as \`commitTree\` has them
 * @throws as `commitTree` and `writeErofs`
 */
export async function publishCommit(
  repository: Repository,
  chunk: CommitChunk,
  version: ErofsVersion,
  form = WHOLE,
  trees?: KnownTrees,
): Promise<PublishedCommit> {
  const objects = new CommitObjects(chunk);
  const image = await storeImage(repository.objects, commitTree(objects, form, trees), { version });
  return publishWithImage(repository, objects.commit, chunk, image, form);
}

/** The same with an image that is in the repository. */
export async function publishWithImage(
  repository: Repository,
  commit: Checksum,
  chunk: CommitChunk,
  image: ObjectId,
  form = WHOLE,
): Promise<PublishedCommit> {
  const stream = await storeCommitStream(repository, chunk, image, form);
  await repository.linkImage(image);
  await repository.linkStream(contentIdOf(commit, form), stream);
  return { stream, image };
}
