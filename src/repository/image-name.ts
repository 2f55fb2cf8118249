import { bytesOf } from '../bytes.js';
import { NotFoundError } from '../errors.js';
import { DIGEST_SIZE, type ObjectId } from './object-id.js';
import type { Repository } from './repository.js';

const REFS = 'refs/';

/**
 * The image a user means: by its whole digest, or by a ref, with or without `refs/` in front.
 * @throws NotFoundError when the repository has no such image; an error for names with `..`, which must
 *   not lead to objects that were never committed as images
 */
export function resolveImage(repository: Repository, name: string): ObjectId {
  if (isDigest(name, repository) && repository.hasImage(name)) return name;
  const image = repository.readRef('images', bytesOf(name.startsWith(REFS) ? name.slice(REFS.length) : name));
  if (image === undefined || !repository.hasImage(image)) throw new NotFoundError(`image not found: ${name}`);
  return image;
}

function isDigest(name: string, { algorithm }: Repository): boolean {
  return name.length === 2 * DIGEST_SIZE[algorithm] && /^[0-9a-f]+$/.test(name);
}
