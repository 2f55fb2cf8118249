import type { Abortable } from '../../abortable.js';
import { BridgeError } from '../../errors.js';
import { Repository } from '../../repository/repository.js';
import type { WritableStore } from '../../storage/write/writable-store.js';
import { pullImage } from '../pull/pull.js';
import type { PullEvent, PullResult } from '../pull/types.js';
import { openRepositoryImage } from '../source/repository.js';
import type { ImageSource } from '../source/source.js';
import { copyToStore } from '../store/copy-to-store.js';
import type { StoreCopyOptions, StoreCopyResult } from '../store/types.js';

export interface CopyOptions extends Abortable {
  /** tag to make in the destination; none when left out, and then the next garbage collection takes the image */
  name?: string | undefined;
  /**
   * share the objects' extents or inodes, or fail; otherwise extents are shared where that works, and content is copied
   * elsewhere
   */
  zeroCopy?: boolean;
  onEvent?: (event: PullEvent) => void;
}

/**
 * Copies an image or artifact from one repository into another, which may use another digest algorithm. Everything is
 * verified as in a pull; the destination makes its own EROFS image.
 * @param from open for reading
 * @param to open for writing
 * @param reference a tag in `from`, or `@` and the digest of a manifest
 * @throws BridgeError `ALGORITHM` for `zeroCopy` between repositories whose objects have different names; whatever
 *   `pullImage` throws
 * @example
 * ```ts
 * import { copyImage, Repository } from 'composefs-bridge';
 *
 * using from = await Repository.open('/var/lib/images');
 * using to = await Repository.open('/srv/backup', { write: true });
 * console.log((await copyImage(from, to, 'debian', { name: 'debian' })).tag); // debian
 * ```
 */
export async function copyImage(
  from: Repository,
  to: Repository,
  reference: string,
  options?: CopyOptions,
): Promise<PullResult>;

/**
 * Brings an image of any source into a containers-storage, without a repository between. Layers that the store has are
 * used as they are; each other one is verified against its diff_id before the store sees it. Files that the source has
 * unpacked are cloned where the file system can do that. Of another containers-storage signatures, lists and the
 * history of names come along.
 * @param from is not disposed
 * @param to is not disposed
 * @throws DigestMismatchError when a layer is another one than the config says; FormatError `BAD_REFERENCE` for a name;
 *   BridgeError `NOT_AN_IMAGE` for an artifact, `ZERO_COPY`; whatever source and store throw; the signal's reason
 * @example
 * ```ts
 * import { copyImage, discoverStore, openSource, openStoreForWriting } from 'composefs-bridge';
 *
 * await using source = await openSource('oci:/srv/layout');
 * await using store = await openStoreForWriting(discoverStore());
 * const { layers } = await copyImage(source, store, { names: ['localhost/app:1'] });
 * for (const { diffId, outcome } of layers) console.log(diffId, outcome); // sha256:… written
 * ```
 */
export async function copyImage(
  from: ImageSource,
  to: WritableStore,
  options?: StoreCopyOptions,
): Promise<StoreCopyResult>;

export async function copyImage(
  from: Repository | ImageSource,
  to: Repository | WritableStore,
  what?: string | StoreCopyOptions,
  options: CopyOptions = {},
): Promise<PullResult | StoreCopyResult> {
  if (from instanceof Repository && to instanceof Repository && typeof what === 'string')
    return await copyBetween(from, to, what, options);
  return await copyToStore(from as ImageSource, to as WritableStore, what as StoreCopyOptions | undefined);
}

async function copyBetween(
  from: Repository,
  to: Repository,
  reference: string,
  options: CopyOptions,
): Promise<PullResult> {
  if (options.zeroCopy && from.algorithm !== to.algorithm) {
    throw new BridgeError(
      'ALGORITHM',
      `sharing all files needs the same hash algorithm in both repositories; the source uses ${from.algorithm}, ` +
        `the destination ${to.algorithm}`,
    );
  }
  await using source = await openRepositoryImage(from, reference);
  return await copyFrom(source, to, options);
}

/**
 * The same for an image of a repository that is opened already, here or by another program.
 * @param source is not disposed
 * @throws whatever `pullImage` throws
 * @example
 * ```ts
 * import { copyFrom, openSocketImage, Repository } from 'composefs-bridge';
 *
 * await using source = await openSocketImage('/run/repositories.sock', 'debian', { repository: '/var/lib/images' });
 * using to = await Repository.open('/srv/backup', { write: true });
 * console.log((await copyFrom(source, to, { name: 'debian' })).tag); // debian
 * ```
 */
export async function copyFrom(
  source: ImageSource,
  to: Repository,
  { name, zeroCopy = false, signal, onEvent }: CopyOptions = {},
): Promise<PullResult> {
  return await pullImage(to, source, {
    name,
    localFetch: zeroCopy ? 'zerocopy' : 'reflink',
    // Nobody may write to an object of a repository anyway.
    sealSource: true,
    ...(signal && { signal }),
    ...(onEvent && { onEvent }),
  });
}
