import { bytesOf, showBytes, type ByteString } from '../../bytes.js';
import { printDump } from '../../erofs/dumpfile/print.js';
import { readErofs, type StoredInode } from '../../erofs/read/reader.js';
import { BridgeError, NotFoundError } from '../../errors.js';
import { objectPath } from '../../fsverity/object-id.js';
import type { Directory, Node } from '../../tree/tree.js';
import { readNamedImage } from '../../repository/read-named-image.js';
import { openRepository } from '../open-repository.js';
import type { Session } from '../session.js';
import type { DumpFilesOptions } from './dump-files.options.js';

/** `dump-files`: prints some of an image's files. */
export async function run(
  session: Session,
  [name, paths]: [string, string[]],
  options: DumpFilesOptions,
): Promise<void> {
  using repository = await openRepository(session, options, 'read');
  const stored = new Map<Node, StoredInode>();
  const { root } = readNamedImage(repository, name, (image) => readErofs(image, { stored }));
  // A part of the tree may have a part of an inode's names only.
  for (const [node, { links }] of stored) if (node.kind !== 'directory') node.nlink = links;
  // All of them are found before anything is printed.
  const found = paths.map(bytesOf).map((path) => ({ path, node: find(root, path) }));
  if (options.backingPathOnly)
    return await session.out.write(
      found.map(({ path, node }) => `${showBytes(path)} ${backingPath(node, path)}\n`).join(''),
    );
  for (const { path, node } of found) await session.out.pipe(printDump(node, path));
}

function find(root: Directory, path: ByteString): Node {
  const names = path.split('/').filter((name) => name !== '' && name !== '.');
  if (names.length === 0 || names.includes('..'))
    throw new BridgeError('INVALID_NAME', `"${showBytes(path)}" is no path of a file in the image`);
  let node: Node | undefined = root;
  for (const name of names) node = node?.kind === 'directory' ? node.entries.get(name) : undefined;
  if (node === undefined) throw new NotFoundError(`${showBytes(path)} not found`);
  return node;
}

function backingPath(node: Node, path: ByteString): string {
  if (node.kind === 'directory') throw new Error(`${showBytes(path)} is a directory`);
  if (node.kind !== 'regular') return 'inline';
  if (node.content.kind === 'object') return objectPath(node.content.id);
  return node.content.kind === 'external' ? showBytes(node.content.payload ?? '') : 'inline';
}
