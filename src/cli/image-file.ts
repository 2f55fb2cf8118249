import { FormatError } from '../errors.js';
import { verityDigest } from '../fsverity/digest.js';
import { EROFS_IMAGE_LIMIT } from '../limits.js';
import type { Repository } from '../repository/repository.js';
import { resolveImage } from '../repository/image-name.js';
import { readFd } from './read-fd.js';

/**
 * Reads the image a user means.
 * @param read makes something of its bytes
 * @throws NotFoundError; FormatError when `read` does
 */
export function readImage<T>(repository: Repository, name: string, read: (image: Buffer) => T): T {
  const id = resolveImage(repository, name);
  using file = repository.objects.open(id);
  try {
    const bytes = readFd(file.number, EROFS_IMAGE_LIMIT);
    if (!repository.believed && verityDigest(bytes, repository.algorithm).toString('hex') !== id)
      throw new FormatError('OBJECT_DAMAGED', 'its content is another');
    return read(bytes);
  } catch (error) {
    if (error instanceof FormatError)
      throw new FormatError(
        error.code,
        `image ${name} is damaged: ${error.message}; pull the image again, or run fsck --repair`,
        {
          cause: error,
        },
      );
    throw error;
  }
}
