import { IMAGE_MAX } from '../erofs/format.js';
import { FormatError } from '../errors.js';
import { DAMAGE_ADVICE, type Repository } from '../repository/repository.js';
import { resolveImage } from '../repository/image-name.js';
import { readFd } from './read-fd.js';

/**
 * Reads the image a user means.
 * @param read makes something of its bytes
 * @throws NotFoundError; FormatError when `read` does
 */
export function readImage<T>(repository: Repository, name: string, read: (image: Buffer) => T): T {
  using file = repository.objects.open(resolveImage(repository, name));
  try {
    return read(readFd(file.number, IMAGE_MAX));
  } catch (error) {
    if (error instanceof FormatError) throw new FormatError(error.code, `image ${name} is damaged: ${error.message}; ${DAMAGE_ADVICE}`, { cause: error });
    throw error;
  }
}
