import { FormatError } from '../errors.js';
import { readSmallFile } from '../fd/read-file.js';
import { verityDigest } from '../fsverity/digest.js';
import { EROFS_IMAGE_LIMIT } from '../limits.js';
import { resolveImage } from './image-name.js';
import type { Repository } from './repository.js';

/**
 * Reads the image a user means.
 * @param read makes something of its bytes
 * @throws NotFoundError; FormatError when `read` does
 */
export function readNamedImage<T>(repository: Repository, name: string, read: (image: Buffer) => T): T {
  const id = resolveImage(repository, name);
  using file = repository.objects.open(id);
  try {
    const bytes = readSmallFile(file, EROFS_IMAGE_LIMIT);
    if (!repository.believed && verityDigest(bytes, repository.algorithm).toString('hex') !== id)
      throw new FormatError('OBJECT_DAMAGED', 'its content is another');
    return read(bytes);
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    const message = `image ${name} is damaged: ${cause.message}; pull the image again, or repair the repository`;
    throw new FormatError(cause.code, message, { cause });
  }
}
