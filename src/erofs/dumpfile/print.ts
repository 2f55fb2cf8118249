import type { ByteString } from '../../bytes.js';
import { objectPath } from '../../fsverity/object-id.js';
import {
  contentSize,
  directoryLinks,
  TYPE_BITS,
  type Content,
  type Directory,
  type Leaf,
  type Node,
  type Xattrs,
} from '../../tree/tree.js';
import type { FileContent } from '../../tree/entry-node.js';
import { escapeField, escapePath, escapeXattr } from './escape.js';

const CHUNK = 1 << 16;

/**
 * Prints a tree as a composefs dumpfile, as `cfsctl oci dump` does: depth first, names in byte order, directories
 * with size 0, an inode's further names as `@120000` lines that name the first one.
 * Source: composefs-dump(5).
 * @param root the root of a tree, or any node of one
 * @param path what it is called in the dumpfile, absolute
 * @returns the text in pieces of about 64 KiB that end with whole lines
 * @example
 * ```ts
 * import { readFileSync } from 'node:fs';
 * import { printDump, readErofs } from 'composefs-bridge';
 *
 * for (const lines of printDump(readErofs(readFileSync('image.cfs')).root)) process.stdout.write(lines);
 * ```
 */
export function* printDump(root: Node, path: ByteString = '/'): Generator<Buffer> {
  const places = [...walk(root, path)];
  const names = namesOfLeaves(places);
  let text = '';
  for (const place of places) {
    const known = place.node.kind === 'directory' ? undefined : names.get(place.node);
    text +=
      known !== undefined && known.path !== place.path
        ? linkLine(place.path, known.path)
        : inodeLine(place, known?.count ?? 0);
    if (text.length >= CHUNK) {
      yield Buffer.from(text, 'latin1');
      text = '';
    }
  }
  if (text !== '') yield Buffer.from(text, 'latin1');
}

/** A node where a walk meets it. */
export interface Place {
  path: ByteString;
  node: Node;
  /** undefined for the first one */
  directory: Directory | undefined;
  name: ByteString;
}

/** Depth first, names in byte order. */
export function* walk(root: Node, rootPath: ByteString = '/'): Generator<Place> {
  yield { path: rootPath, node: root, directory: undefined, name: '' };
  if (root.kind !== 'directory') return;
  const stack = [
    { directory: root, prefix: rootPath.endsWith('/') ? rootPath : `${rootPath}/`, names: sortedNames(root), next: 0 },
  ];
  for (let level = stack.at(-1); level !== undefined; level = stack.at(-1)) {
    const { directory, prefix } = level;
    const name = level.names[level.next++];
    if (name === undefined) {
      stack.pop();
      continue;
    }
    const node = directory.entries.get(name);
    // Whoever walks may have taken it away.
    if (node === undefined) continue;
    const path = prefix + name;
    yield { path, node, directory, name };
    if (node.kind === 'directory')
      stack.push({ directory: node, prefix: `${path}/`, names: sortedNames(node), next: 0 });
  }
}

function sortedNames(directory: Directory): ByteString[] {
  return [...directory.entries.keys()].sort();
}

/** How many names every leaf has, and which of them stands for it. */
function namesOfLeaves(places: readonly Place[]): Map<Leaf, { count: number; path: ByteString }> {
  const names = new Map<Leaf, { count: number; path: ByteString }>();
  for (const { path, node, directory, name } of places) {
    if (node.kind === 'directory') continue;
    const known = names.get(node);
    if (known === undefined) {
      names.set(node, { count: 1, path });
      continue;
    }
    known.count++;
    if (node.owner !== undefined && node.owner.directory === directory && node.owner.name === name) known.path = path;
  }
  return names;
}

function linkLine(path: ByteString, target: ByteString): string {
  return `${escapePath(path)} 0 @120000 - - - - 0.0 ${escapePath(target)} - -\n`;
}

function inodeLine({ path, node }: Place, names: number): string {
  const links = node.kind === 'directory' ? directoryLinks(node) : (node.nlink ?? names);
  const mode = (TYPE_BITS[node.kind] | node.mode).toString(8);
  const rdev = 'rdev' in node ? node.rdev : 0;
  const head = `${escapePath(path)} ${sizeOf(node)} ${mode} ${links} ${node.uid} ${node.gid} ${rdev}`;
  return `${head} ${node.mtimeSec}.${node.mtimeNsec} ${dataFields(node)}${xattrFields(node.xattrs)}\n`;
}

function sizeOf(node: Node): bigint | number {
  switch (node.kind) {
    case 'regular':
      return contentSize(node.content);
    case 'symlink':
      return node.target.length;
    case 'directory':
      return 0;
    default:
      return node.claimedSize;
  }
}

/** PAYLOAD, CONTENT and DIGEST. */
export function dataFields(node: Node): string {
  if (node.kind === 'symlink') return `${escapeField(node.target)} - -`;
  return node.kind === 'regular' ? contentFields(node.content) : '- - -';
}

/** The same of a regular file. */
export function contentFields(content: Content | FileContent): string {
  switch (content.kind) {
    case 'empty':
      return '- - -';
    case 'inline':
      return `- ${escapeField(content.bytes.toString('latin1'))} -`;
    case 'object':
      return `${objectPath(content.id)} - ${content.id}`;
    case 'external':
      return `${content.payload === undefined ? '-' : escapeField(content.payload)} - ${content.digest ?? '-'}`;
  }
}

function xattrFields(xattrs: Xattrs): string {
  if (xattrs.size === 0) return '';
  const sorted = [...xattrs].sort(([one], [other]) => (one < other ? -1 : 1));
  return sorted.map(([name, value]) => ` ${escapeXattr(name)}=${escapeXattr(value)}`).join('');
}
