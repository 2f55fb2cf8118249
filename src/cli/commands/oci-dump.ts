import { printDump } from '../../erofs/dumpfile-print.js';
import { imageTreeOf, type TreeOptions } from '../image-tree-of.js';
import { openRepository } from '../open-repository.js';
import type { Session } from '../session.js';

/** `oci dump`: prints an image's file tree. */
export async function run(session: Session, [image, verity]: [string, string | undefined], options: TreeOptions): Promise<void> {
  using repository = await openRepository(session, options, 'read');
  await session.out.pipe(printDump(await imageTreeOf(repository, image, verity, options, session.signal)));
}
