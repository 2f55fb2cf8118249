import { printable } from '../../../bytes.js';
import { NotFoundError } from '../../../errors.js';
import { DEAD_XATTRS, hasDeadXattrs } from '../../../ostree/image/dead-xattrs.js';
import { resolveStored } from '../../../ostree/refs.js';
import { readStored } from '../../../ostree/stream/read-commit.js';
import { checkMountOptions, mountInto, type MountCommandOptions } from '../../mount-into.js';
import { openRepository } from '../../open-repository.js';
import type { Session } from '../../session.js';
import { talk } from '../../talk.js';

/** `ostree mount`: mounts the image of a commit. */
export async function run(
  session: Session,
  [source, mountpoint]: [string, string],
  options: MountCommandOptions,
): Promise<void> {
  checkMountOptions(options);
  using repository = await openRepository(session, options, 'read');
  const commit = await readStored(repository, resolveStored(repository, source), session.signal);
  const { image } = commit;
  if (image === undefined)
    throw new NotFoundError(`no composefs image linked to '${printable(source)}' — try re-pulling, or compute-id`);
  if (hasDeadXattrs(repository, commit)) talk(`${DEAD_XATTRS}: pull it with --fix-xattrs to have them\n`);
  mountInto(repository, image, mountpoint, options);
}
