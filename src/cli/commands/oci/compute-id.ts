import { writeErofs } from '../../../erofs/write/writer.js';
import { verityDigest } from '../../../fsverity/digest.js';
import { erofsVersions } from '../../../repository/meta.js';
import { namedTree } from '../../../oci/image/named-tree.js';
import { sayLateMark } from '../../late-mark.js';
import { openRepository } from '../../open-repository.js';
import type { Session, TreeOptions } from '../../session.js';

/** `oci compute-id`: prints what the EROFS image of an image would be called, without storing it. */
export async function run(
  session: Session,
  [image, verity]: [string, string | undefined],
  options: TreeOptions,
): Promise<void> {
  using repository = await openRepository(session, options, 'read');
  const root = await namedTree(repository, image, verity, {
    xattrs: options.xattrs,
    bootable: options.bootable === true,
    signal: session.signal,
    onLateMark: sayLateMark,
  });
  const version = options.erofsVersion ?? erofsVersions(repository.meta)[0] ?? 1;
  const erofs = writeErofs(root, { version, algorithm: repository.algorithm });
  await session.out.line(verityDigest(erofs, repository.algorithm).toString('hex'));
}
