import type { ByteString } from '../../bytes.js';
import { TYPE_BITS, type Directory, type Leaf, type Node } from '../../tree/tree.js';
import { escapeField, escapePath, escapeXattr } from './escape.js';
import { dataFields, walk } from './print.js';
import type { StoredInode } from '../read/reader.js';

/**
 * Prints an image as a dumpfile the way the C library's `composefs-info dump` does: sizes and link counts as the image
 * has them, xattrs in its order, further names of an inode with its whole metadata and `@` before the mode.
 * @param stored what `readErofs` said about the nodes
 * @returns one line at a time
 * @example
 * ```ts
 * import { readFileSync } from 'node:fs';
 * import { printStored, readErofs, type Node, type StoredInode } from 'composefs-bridge';
 *
 * const stored = new Map<Node, StoredInode>();
 * const { root } = readErofs(readFileSync('image.cfs'), { writer: 'composefs', stored });
 * for (const line of printStored(root, stored)) process.stdout.write(line);
 * ```
 */
export function* printStored(root: Directory, stored: ReadonlyMap<Node, StoredInode>): Generator<string> {
  const first = new Map<Leaf, ByteString>();
  for (const { path, node } of walk(root)) {
    const known = node.kind === 'directory' ? undefined : first.get(node);
    if (node.kind !== 'directory' && known === undefined) first.set(node, path);
    const { size, links } = stored.get(node)!;
    const mode = `${known === undefined ? '' : '@'}${(TYPE_BITS[node.kind] | node.mode).toString(8)}`;
    const rdev = 'rdev' in node ? node.rdev : 0;
    const fields = dataFields(node);
    const data = known === undefined ? fields : escapeField(known) + fields.slice(fields.indexOf(' '));
    let line =
      `${escapePath(path)} ${size} ${mode} ${links} ${node.uid} ${node.gid} ${rdev} ` +
      `${node.mtimeSec}.${node.mtimeNsec} ${data}`;
    for (const [name, value] of node.xattrs) line += ` ${escapeXattr(name)}=${escapeXattr(value)}`;
    yield `${line}\n`;
  }
}
