import { bytesOf } from '../bytes.js';
import { NotFoundError } from '../errors.js';
import { DIGEST_SIZE, type ObjectId } from '../fsverity/object-id.js';
import { askedRef, IMAGES } from './names.js';
import type { Repository } from './repository.js';

/**
 * The image a user means: by its whole digest, or by a ref, with or without `refs/` in front.
 * @throws NotFoundError when the repository has no such image; an error for names with `..`, which must
 *   not lead to objects that were never committed as images
 * @example
 * ```ts
 * import { inspectImage, openImage, Repository, resolveImage } from 'composefs-bridge';
 *
 * using repository = await Repository.open('/var/lib/images');
 * const { erofs = '' } = inspectImage(repository, await openImage(repository, 'debian'));
 * console.log(resolveImage(repository, erofs) === erofs); // true
 * ```
 */
export function resolveImage(repository: Repository, name: string): ObjectId {
  if (isDigest(name, repository) && repository.hasImage(name)) return name;
  const image = repository.readRef(IMAGES, bytesOf(askedRef(name) ?? name));
  if (image === undefined || !repository.hasImage(image)) throw new NotFoundError(`image not found: ${name}`);
  return image;
}

function isDigest(name: string, { algorithm }: Repository): boolean {
  return name.length === 2 * DIGEST_SIZE[algorithm] && /^[0-9a-f]+$/.test(name);
}
