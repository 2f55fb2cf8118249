import { resolveImage } from '../../repository/image-name.js';
import { checkMountOptions, mountInto, type MountCommandOptions } from '../mount-into.js';
import { openRepository } from '../open-repository.js';
import type { Session } from '../session.js';

/** `mount`: mounts an EROFS image by digest or name. */
export async function run(
  session: Session,
  [name, mountpoint]: [string, string],
  options: MountCommandOptions,
): Promise<void> {
  checkMountOptions(options);
  using repository = await openRepository(session, options, 'read');
  mountInto(repository, resolveImage(repository, name), mountpoint, options);
}
