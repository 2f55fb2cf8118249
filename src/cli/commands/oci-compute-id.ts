import { writeErofs } from '../../erofs/writer.js';
import { verityDigest } from '../../fsverity/digest.js';
import { erofsVersions } from '../../repository/meta.js';
import { imageTreeOf, type TreeOptions } from '../image-tree-of.js';
import { openRepository } from '../open-repository.js';
import type { Session } from '../session.js';

/** `oci compute-id`: prints what the EROFS image of an image would be called, without storing it. */
export async function run(session: Session, [image, verity]: [string, string | undefined], options: TreeOptions): Promise<void> {
  using repository = await openRepository(session, options, 'read');
  const root = await imageTreeOf(repository, image, verity, options, session.signal);
  const version = options.erofsVersion ?? erofsVersions(repository.meta)[0] ?? 1;
  const erofs = writeErofs(root, { version, algorithm: repository.algorithm });
  await session.out.line(verityDigest(erofs, repository.algorithm).toString('hex'));
}
