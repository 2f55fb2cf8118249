import { NotFoundError } from '../../../errors.js';
import { erofsImage, notAnImage, openImage } from '../../../oci/image/image.js';
import { isDigest } from '../../../spec/manifest.js';
import type { Repository } from '../../../repository/repository.js';
import { readTag } from '../../../repository/tags.js';
import { checkMountOptions, mountInto, type MountCommandOptions } from '../../mount-into.js';
import { openRepository } from '../../open-repository.js';
import type { Session } from '../../session.js';

/** `oci mount`: mounts the EROFS image that belongs to a container image. */
export async function run(
  session: Session,
  [name, mountpoint]: [string, string],
  options: MountCommandOptions & { bootable?: true },
): Promise<void> {
  checkMountOptions(options);
  using repository = await openRepository(session, options, 'read');
  const { configStream, config } = await openImage(repository, reference(repository, name));
  if (config === undefined) throw notAnImage(name);
  const id = erofsImage(repository, configStream, options.bootable);
  if (id === undefined)
    throw new NotFoundError(
      options.bootable
        ? `no EROFS image to boot from belongs to "${name}"; pull it with --bootable`
        : `no EROFS image belongs to "${name}"; pull it again`,
    );
  mountInto(repository, id, mountpoint, options);
}

/** cfsctl takes a manifest digest without the `@` here; a tag of that very name comes first. */
function reference(repository: Repository, name: string): string {
  return isDigest(name) && readTag(repository, name) === undefined ? `@${name}` : name;
}
