import type { Fd } from '../fd/fd.js';
import { mountImage, type MountOptions } from './mount.js';
import type { ObjectId } from './object-id.js';
import type { Repository } from './repository.js';

/**
 * Mounts an EROFS image of a repository, attached nowhere yet.
 * @returns the mount; it goes away when this is closed without `attachMount`
 * @throws MountError, NotFoundError
 */
export function mountStored(repository: Repository, id: ObjectId, options: Pick<MountOptions, 'upper' | 'readWrite' | 'idmap'>): Fd {
  using image = repository.objects.open(id);
  // Not whenever the image itself has fs-verity: files of a store that are objects need not have it in an insecure repository.
  return mountImage(image, repository.objects.dir, { ...options, name: id, requireVerity: repository.verityRequired });
}
