import { printDump } from '../../../erofs/dumpfile/print.js';
import { commitTree } from '../../../ostree/image/tree.js';
import { resolveStored } from '../../../ostree/refs.js';
import { readStored } from '../../../ostree/stream/read-commit.js';
import { openRepository } from '../../open-repository.js';
import type { GlobalOptions, Session } from '../../session.js';

/** `ostree dump`: prints the file tree of a commit. */
export async function run(session: Session, [source]: [string], options: GlobalOptions): Promise<void> {
  using repository = await openRepository(session, options, 'read');
  const { objects, form } = await readStored(repository, resolveStored(repository, source), session.signal);
  await session.out.pipe(printDump(commitTree(objects, form)));
}
