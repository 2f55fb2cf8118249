import { readFileSync } from 'node:fs';
import { resolveImage } from '../repository/image-name.js';
import type { Repository } from '../repository/repository.js';

/** The bytes of the image a user means. @throws NotFoundError */
export function imageBytes(repository: Repository, name: string): Buffer {
  using file = repository.objects.open(resolveImage(repository, name));
  return readFileSync(file.number);
}
