import { showBytes, type ByteString } from '../../bytes.js';
import { FormatError } from '../../errors.js';
import type { Node, Xattrs } from '../../tree/tree.js';
import type { Backing, ExternalBacking } from './backing.js';
import type { ErofsVersion, Writer } from '../format/options.js';
import {
  ESCAPED,
  OPAQUE,
  OVERLAY,
  METACOPY,
  REDIRECT,
  WHITEOUT_MARKS,
  WHITEOUT_OPAQUE_MARKS,
  WHITEOUT_PARENT_MARKS,
} from '../format/overlay-names.js';
import { ROLE_PLAIN, ROLE_STUB, ROLE_WHITEOUT, type Scan } from './scan.js';
import { byName, type XattrPair, type XattrTable } from './xattr-table.js';

const NONE: readonly XattrPair[] = [];

/**
 * The xattrs the image has for an inode, in the image's order: the inode's own with overlayfs's names escaped, those
 * that lead to an object, and the marks of whiteouts. Where nothing comes behind those of an object, as on most files,
 * they are left out.
 * @param objectLast where that is so, 1 is put in the inode's place
 */
export function inodeXattrs(
  scan: Scan,
  inode: number,
  backing: Backing | undefined,
  table: XattrTable,
  objectLast: Uint8Array,
  options: { version: ErofsVersion; writer: Writer },
): readonly XattrPair[] {
  const node = scan.nodes[inode]!;
  const role = scan.roles[inode]!;
  if (options.version === 2) {
    const pairs = overlayPairs(backing, table);
    return node.xattrs.size === 0 ? pairs : [...pairs, ...ownSorted(node, table)];
  }

  const marks =
    inode === 0 || role === ROLE_WHITEOUT || scan.hasWhiteout[inode] === 1
      ? marksOf(scan, inode, options.version)
      : NO_MARKS;
  if (marks.length === 0 && role === ROLE_PLAIN) {
    const own = node.xattrs.size === 0 ? NONE : plainXattrs(node.xattrs, table);
    if (backing === undefined) return own;
    // Names from `user.` on are rare, and these are mostly behind all others.
    const ordered = own.length === 0 || own[own.length - 1]!.name.full < METACOPY;
    if (ordered && backing.kind === 'object') {
      table.useObject(backing.id);
      objectLast[inode] = 1;
      return own;
    }
    const pairs = own.concat(overlayPairs(backing, table));
    return ordered ? pairs : pairs.sort(byName);
  }
  const own = new Map<ByteString, ByteString>();
  for (const [name, value] of node.xattrs) own.set(role === ROLE_STUB ? name : escaped(name), value);
  if (options.writer === 'composefs') for (const [name] of marks) own.delete(name);
  const pairs = [...overlayPairs(backing, table)];
  for (const [name, value] of own) pairs.push(usedPair(table, name, value));
  for (const [name, value] of marks) pairs.push(usedPair(table, name, value));
  return pairs.sort(byName);
}

/** Inodes often share one map of xattrs, whose pairs are looked up and sorted once. */
function plainXattrs(xattrs: Xattrs, table: XattrTable): readonly XattrPair[] {
  const own = table.sorted(xattrs, () => {
    const pairs: XattrPair[] = [];
    for (const [name, value] of xattrs) pairs.push(checkedPair(table, escaped(name), value));
    return pairs.sort(byName);
  });
  for (const pair of own) pair.uses++;
  return own;
}

type Mark = readonly [ByteString, ByteString];
const NO_MARKS: readonly Mark[] = [];

function marksOf(scan: Scan, inode: number, version: ErofsVersion): readonly Mark[] {
  const marks: Mark[] = [];
  if (inode === 0) marks.push([OPAQUE, 'y']);
  if (scan.roles[inode] === ROLE_WHITEOUT) marks.push(...WHITEOUT_MARKS.map((name): Mark => [name, '']));
  if (scan.hasWhiteout[inode] === 1) {
    marks.push(...WHITEOUT_PARENT_MARKS.map((name): Mark => [name, '']));
    if (version === 1) marks.push(...WHITEOUT_OPAQUE_MARKS.map((name): Mark => [name, 'x']));
  }
  return marks;
}

/** The pairs that lead to a file's data; the list may belong to the table. */
function overlayPairs(backing: Backing | undefined, table: XattrTable): readonly XattrPair[] {
  if (backing === undefined) return NONE;
  const pairs = backing.kind === 'object' ? table.object(backing.id) : externalPairs(backing, table);
  for (const pair of pairs) pair.uses++;
  return pairs;
}

function externalPairs({ digest, objectPath, otherPath }: ExternalBacking, table: XattrTable): readonly XattrPair[] {
  return [
    digest === undefined ? table.pair(METACOPY, '') : table.object(digest)[0],
    ...(objectPath === undefined ? [] : [table.object(objectPath)[1]]),
    ...(otherPath === undefined ? [] : [checkedPair(table, REDIRECT, `/${otherPath}`)]),
  ];
}

/** Format 2 sorts by the names before escaping. */
function ownSorted(node: Node, table: XattrTable): XattrPair[] {
  const sorted = [...node.xattrs].sort(([one], [other]) => (one < other ? -1 : 1));
  return sorted.map(([name, value]) => usedPair(table, escaped(name), value));
}

function escaped(name: ByteString): ByteString {
  return name.startsWith(OVERLAY) ? ESCAPED + name.slice(OVERLAY.length) : name;
}

function usedPair(table: XattrTable, name: ByteString, value: ByteString): XattrPair {
  const pair = checkedPair(table, name, value);
  pair.uses++;
  return pair;
}

function checkedPair(table: XattrTable, name: ByteString, value: ByteString): XattrPair {
  const pair = table.pair(name, value);
  if (pair.name.suffix.length > 255 || value.length > 65535) {
    throw new FormatError(
      'EROFS_XATTR',
      `an image cannot hold an xattr with ${name.length} bytes of name and ${value.length} of value`,
    );
  }
  // cfsctl keeps the NUL that names of ostree end with, and so the ids of images depend on it.
  if (!/^[\x01-\xff]+\0?$/.test(name) || pair.name.suffix === '\0' || !/^[\0-\xff]*$/.test(value))
    throw new FormatError('EROFS_XATTR', `"${showBytes(name)}": names of xattrs are not empty, and all is bytes`);
  return pair;
}
