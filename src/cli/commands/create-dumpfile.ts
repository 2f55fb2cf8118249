import { printDump } from '../../erofs/dumpfile/print.js';
import { computedFor } from '../computed-for.js';
import { folderTree, type FolderOptions } from '../folder-tree.js';
import type { Session } from '../session.js';

/** `create-dumpfile`: prints a folder as a dumpfile. */
export async function run(session: Session, [path]: [string], options: FolderOptions): Promise<void> {
  const { algorithm } = await computedFor(session, options);
  await session.out.pipe(printDump(await folderTree(session, path, options, algorithm)));
}
