import type { Repository } from '../../repository/repository.js';
import type { WritableStore } from '../../storage/write/writable-store.js';
import { openRepositoryImage } from '../source/repository.js';
import { copyToStore } from './copy-to-store.js';
import type { StoreCopyOptions, StoreCopyResult } from './types.js';

/**
 * Makes an image of a repository one of a containers-storage, which podman runs: files are clones of the repository's
 * objects where the file system can do that. Manifest and config are those of the repository, byte for byte. Which blob
 * a layer was pulled as is told the store where a pull has seen it; elsewhere the layer is known by its tar alone.
 * Simple signatures and manifest lists are not in a repository.
 * @param repository stays the caller's
 * @param reference a tag, or `@` and the digest of a manifest
 * @param store is not disposed
 * @throws NotFoundError, FormatError, DigestMismatchError for what is not in the repository, or damaged there;
 *   BridgeError `NOT_AN_IMAGE`, `ZERO_COPY`; whatever the store throws; the signal's reason
 * @example
 * ```ts
 * import { discoverStore, openStoreForWriting, pushToStore, Repository } from 'composefs-bridge';
 *
 * using repository = await Repository.open('/var/lib/images');
 * await using store = await openStoreForWriting(discoverStore());
 * const { id } = await pushToStore(repository, 'debian', store, { names: ['localhost/debian:12'] });
 * console.log(id); // …
 * ```
 */
export async function pushToStore(
  repository: Repository,
  reference: string,
  store: WritableStore,
  options: StoreCopyOptions = {},
): Promise<StoreCopyResult> {
  await using source = await openRepositoryImage(repository, reference);
  return await copyToStore(source, store, options);
}
