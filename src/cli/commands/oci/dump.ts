import { printDump } from '../../../erofs/dumpfile/print.js';
import { namedTree } from '../../../oci/image/named-tree.js';
import { sayLateMark } from '../../late-mark.js';
import { openRepository } from '../../open-repository.js';
import type { Session, TreeOptions } from '../../session.js';

/** `oci dump`: prints an image's file tree. */
export async function run(
  session: Session,
  [image, verity]: [string, string | undefined],
  options: TreeOptions,
): Promise<void> {
  using repository = await openRepository(session, options, 'read');
  await session.out.pipe(
    printDump(
      await namedTree(repository, image, verity, {
        xattrs: options.xattrs,
        bootable: options.bootable === true,
        signal: session.signal,
        onLateMark: sayLateMark,
      }),
    ),
  );
}
