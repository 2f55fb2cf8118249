import type { ObjectId } from '../../fsverity/object-id.js';
import type { Repository } from '../../repository/repository.js';
import { CONTENT_TYPES } from '../../repository/splitstream/format.js';
import { SplitstreamWriter } from '../../repository/splitstream/writer.js';
import { imageRefOf, WHOLE } from '../form.js';
import type { CommitChunk } from './format.js';

/**
 * Stores a commit stream as an object, which has no name yet.
 * @param image the EROFS image of the commit, when there is one
 */
export async function storeCommitStream(
  repository: Repository,
  chunk: CommitChunk,
  image?: ObjectId,
  form = WHOLE,
): Promise<ObjectId> {
  const writer = new SplitstreamWriter(CONTENT_TYPES.ostreeCommit, repository.algorithm);
  writer.refer(chunk.objects.bytes);
  await writer.chunk([chunk.bytes]);
  if (image !== undefined) writer.addNamedRef(imageRefOf(form), image);
  return repository.objects.put(await writer.finish());
}
