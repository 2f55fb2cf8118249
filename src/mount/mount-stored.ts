import type { Fd } from '../fd/fd.js';
import { mountImage, type MountOptions } from './mount.js';
import type { ObjectId } from '../fsverity/object-id.js';
import type { Repository } from '../repository/repository.js';
import { dubiousOwnership } from '../repository/trust.js';

/**
 * Mounts an EROFS image of a repository, attached nowhere yet. That of an owner who is not believed could be changed
 * while it is mounted: it has to be sealed by fs-verity with all its files, and its setuid programs and device files do
 * not work.
 * @returns the mount; it goes away when this is closed without `attachMount`
 * @throws MountError, NotFoundError; BridgeError `DUBIOUS_OWNERSHIP`
 * @example
 * ```ts
 * import { attachMount, bytesOf, inspectImage, mountStored, openImage, Repository } from 'composefs-bridge';
 *
 * using repository = await Repository.open('/var/lib/images');
 * const { erofs = '' } = inspectImage(repository, await openImage(repository, 'debian'));
 * using mount = mountStored(repository, erofs, { readWrite: false });
 * attachMount(mount, bytesOf('/mnt'));
 * ```
 */
export function mountStored(
  repository: Repository,
  id: ObjectId,
  options: Pick<MountOptions, 'upper' | 'readWrite' | 'idmap'>,
): Fd {
  if (!repository.believed && !repository.verityRequired) throw dubiousOwnership(repository.root, repository.path);
  using image = repository.objects.open(id);
  // Not whenever the image itself has fs-verity: files of a store that are objects need not have it in an insecure
  // repository.
  return mountImage(image, repository.objects.dir, {
    ...options,
    name: id,
    requireVerity: repository.verityRequired,
    noSuidNoDev: !repository.believed,
  });
}
