import { printDump } from '../../../erofs/dumpfile/print.js';
import { readCommitTree } from '../../../ostree/image/read-tree.js';
import { openRepository } from '../../open-repository.js';
import type { GlobalOptions, Session } from '../../session.js';

/** `ostree dump`: prints the file tree of a commit. */
export async function run(session: Session, [source]: [string], options: GlobalOptions): Promise<void> {
  using repository = await openRepository(session, options, 'read');
  await session.out.pipe(printDump(await readCommitTree(repository, source, session)));
}
