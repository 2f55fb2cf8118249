// Finding things in the tree of a system. Symlinks are not followed.
import { showBytes, type ByteString } from '../bytes.js';
import { FormatError } from '../errors.js';
import type { Directory, Node, Regular } from '../tree/tree.js';

/**
 * @returns undefined when there is nothing.
 * @throws FormatError `NOT_BOOTABLE` when the path leads through something other than directories
 */
export function find(root: Directory, path: readonly ByteString[]): Node | undefined {
  let node: Node | undefined = root;
  for (const name of path) {
    if (node?.kind !== 'directory') {
      if (node === undefined) return undefined;
      throw new FormatError('NOT_BOOTABLE', `something in ${shown(path)} is not a directory`);
    }
    node = node.entries.get(name);
  }
  return node;
}

/** @throws FormatError `NOT_BOOTABLE` when it is not there */
export function directoryAt(root: Directory, path: readonly ByteString[]): Directory {
  const node = find(root, path);
  if (node?.kind === 'directory') return node;
  throw new FormatError('NOT_BOOTABLE', `there is no directory ${shown(path)}, which a bootable image needs`);
}

/** @returns undefined when nothing is there. @throws FormatError `NOT_BOOTABLE` when it is something else */
export function directoryIfAny(root: Directory, path: readonly ByteString[]): Directory | undefined {
  const node = find(root, path);
  if (node === undefined || node.kind === 'directory') return node;
  throw new FormatError('NOT_BOOTABLE', `${shown(path)} is not a directory`);
}

/** @throws FormatError `BOOT_ENTRY` */
export function regularFile(node: Node | undefined, path: readonly ByteString[]): Regular {
  if (node?.kind === 'regular') return node;
  throw new FormatError(
    'BOOT_ENTRY',
    node === undefined ? `there is no file ${shown(path)}` : `${shown(path)} is not a regular file`,
  );
}

/** Names and nodes of a directory, sorted as bytes. */
export function sortedEntries(directory: Directory | undefined): [ByteString, Node][] {
  return [...(directory?.entries ?? [])].sort(([a], [b]) => (a < b ? -1 : 1));
}

function shown(path: readonly ByteString[]): string {
  return `/${showBytes(path.join('/'))}`;
}
