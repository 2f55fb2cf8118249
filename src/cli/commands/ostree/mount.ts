import { printable } from '../../../bytes.js';
import { NotFoundError } from '../../../errors.js';
import { resolveCommit } from '../../../ostree/refs.js';
import { readCommit } from '../../../ostree/stream/read-commit.js';
import { checkMountOptions, mountInto, type MountCommandOptions } from '../../mount-into.js';
import { openRepository } from '../../open-repository.js';
import type { Session } from '../../session.js';

/** `ostree mount`: mounts the image of a commit. */
export async function run(
  session: Session,
  [source, mountpoint]: [string, string],
  options: MountCommandOptions,
): Promise<void> {
  checkMountOptions(options);
  using repository = await openRepository(session, options, 'read');
  const { image } = await readCommit(repository, resolveCommit(repository, source), session.signal);
  if (image === undefined)
    throw new NotFoundError(`no composefs image linked to '${printable(source)}' — try re-pulling, or compute-id`);
  mountInto(repository, image, mountpoint, options);
}
