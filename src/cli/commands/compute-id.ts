import { writeErofs } from '../../erofs/write/writer.js';
import { verityDigest } from '../../fsverity/digest.js';
import { computedFor } from '../computed-for.js';
import { folderTree, type FolderOptions } from '../folder-tree.js';
import type { Session } from '../session.js';

/** `compute-id`: prints what the image of a folder would be called. */
export async function run(session: Session, [path]: [string], options: FolderOptions): Promise<void> {
  const { algorithm, version } = await computedFor(session, options);
  const root = await folderTree(session, path, options, algorithm);
  await session.out.line(verityDigest(writeErofs(root, { version, algorithm }), algorithm).toString('hex'));
}
