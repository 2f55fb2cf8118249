import { imageArgument } from '../../boot/command-line.js';
import { writeErofs } from '../../erofs/write/writer.js';
import { verityDigest } from '../../fsverity/digest.js';
import { computedFor } from '../computed-for.js';
import { folderTree, type FolderOptions } from '../folder-tree.js';
import type { Session } from '../session.js';

/** `compute-karg`: prints the kernel argument for booting the image of a folder. */
export async function run(session: Session, [path]: [string], options: FolderOptions): Promise<void> {
  const { algorithm, version } = await computedFor(session, options);
  const root = await folderTree(session, path, { ...options, xattrs: 'allowlist-only', bootable: true }, algorithm);
  const id = verityDigest(writeErofs(root, { version, algorithm }), algorithm).toString('hex');
  await session.out.line(imageArgument(id, version, algorithm, options.insecure === true));
}
