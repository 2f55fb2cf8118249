import type { Abortable } from '../../abortable.js';
import { BridgeError } from '../../errors.js';
import type { Repository } from '../../repository/repository.js';
import { pullImage } from '../pull/pull.js';
import type { PullEvent, PullResult } from '../pull/types.js';
import { openRepositoryImage } from '../source/repository.js';
import type { ImageSource } from '../source/source.js';

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
  options: CopyOptions = {},
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
