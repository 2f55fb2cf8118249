import type { Fd } from '../fd/fd.js';
import { files } from '../native.js';
import { mountImage, type MountOptions } from './mount.js';
import type { ObjectId } from './object-id.js';
import type { Repository } from './repository.js';

/**
 * Mounts an EROFS image of a repository, attached nowhere yet.
 * @returns the mount; it goes away when this is closed without `attachMount`
 * @throws MountError, NotFoundError
 */
export function mountStored(repository: Repository, id: ObjectId, options: Pick<MountOptions, 'upper' | 'readWrite'>): Fd {
  using image = repository.objects.open(id);
  // An image that the kernel vouches for is worth little if its files may be anything.
  const requireVerity = repository.verityRequired || files.measureVerity(image.number)?.toString('hex') === id;
  return mountImage(image, repository.objects.dir, { ...options, name: id, requireVerity });
}
