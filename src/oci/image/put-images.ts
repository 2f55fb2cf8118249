import type { ErofsVersion } from '../../erofs/format/options.js';
import type { ObjectId } from '../../fsverity/object-id.js';
import type { Repository } from '../../repository/repository.js';
import { storeImage } from '../../repository/store-image.js';
import type { Directory } from '../../tree/tree.js';

/**
 * Stores a tree's EROFS images and names them by their digests.
 * @param onImage is told of each
 * @throws what the repository throws; the signal's reason
 */
export async function putImages(
  repository: Repository,
  root: Directory,
  versions: ReadonlySet<ErofsVersion>,
  { signal, onImage }: { signal?: AbortSignal | undefined; onImage?: (version: ErofsVersion, id: ObjectId) => void },
): Promise<Map<ErofsVersion, ObjectId>> {
  const images = new Map<ErofsVersion, ObjectId>();
  for (const version of versions) {
    signal?.throwIfAborted();
    const id = await storeImage(repository.objects, root, { version });
    await repository.linkImage(id);
    images.set(version, id);
    onImage?.(version, id);
  }
  return images;
}
