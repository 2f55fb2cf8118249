import { TYPE_BITS, type Node, type ObjectContent } from '../../tree/tree.js';
import { blockEnd } from './directory-blocks.js';
import {
  BLOCK,
  BLOCK_BITS,
  CHUNK_INDEX_SIZE,
  COMPACT_INODE,
  DIRENT,
  DIRENT_TYPE,
  EXTENDED_INODE,
  INODE,
  LAYOUT_CHUNKED,
  NULL_CHUNK,
  SLOT,
  XATTR_HEADER,
  XATTR_REF_SIZE,
  XATTR_UNIT,
  xattrCount,
} from '../format/format.js';
import type { ImageWindow } from './image-window.js';
import type { Layout } from './layout.js';
import { OBJECT_FILTER_BITS, writeObjectXattrs } from '../format/object-xattrs.js';
import type { ErofsVersion } from '../format/options.js';
import type { Plan } from './plan.js';
import { writeBytes } from './write-bytes.js';

/** stat(2)'s file type bits, by the type's number in directory entries. */
const MODE_BITS = new Uint16Array(8);
for (const kind of Object.keys(DIRENT_TYPE) as Node['kind'][]) MODE_BITS[DIRENT_TYPE[kind]] = TYPE_BITS[kind];

export interface Output {
  window: ImageWindow;
  plan: Plan;
  layout: Layout;
  /** What is added to offsets into the table of shared xattrs. */
  tableBase: number;
  version: ErofsVersion;
}

/** Writes one inode with its xattrs and its tail. All of it has to be in the window. */
export function emitInode(out: Output, inode: number, number: number): void {
  const { window, plan, layout, version } = out;
  const { view } = window;
  const node = plan.scan.nodes[inode]!;
  const extended = layout.extended[inode]!;
  const size = plan.xattrSize[inode]!;
  const at = layout.position[inode]! - window.start;
  view.setUint16(at + INODE.format, (layout.dataLayout[inode]! << 1) | extended, true);
  view.setUint16(at + INODE.xattrCount, xattrCount(size), true);
  view.setUint16(at + INODE.mode, MODE_BITS[plan.scan.types[inode]!]! | (node.mode & 0o7777), true);
  if (extended === 1) {
    view.setUint32(at + INODE.data, dataField(out, inode, node), true);
    view.setUint32(at + INODE.number, number, true);
    view.setUint32(at + EXTENDED_INODE.uid, node.uid, true);
    view.setUint32(at + EXTENDED_INODE.gid, node.gid, true);
    view.setBigInt64(at + EXTENDED_INODE.mtimeSec, node.mtimeSec, true);
    view.setUint32(at + EXTENDED_INODE.mtimeNsec, version === 2 ? 0 : node.mtimeNsec, true);
    view.setUint32(at + EXTENDED_INODE.links, plan.scan.links[inode]!, true);
    const backing = plan.backings[inode];
    if (backing !== undefined) view.setBigUint64(at + INODE.size, backing.size, true);
    else view.setUint32(at + INODE.size, storedSize(out, inode), true);
  } else {
    view.setUint16(at + COMPACT_INODE.links, plan.scan.links[inode]!, true);
    view.setUint32(at + INODE.size, storedSize(out, inode), true);
    view.setUint32(at + INODE.data, dataField(out, inode, node), true);
    view.setUint32(at + INODE.number, number, true);
    view.setUint16(at + COMPACT_INODE.uid, node.uid, true);
    view.setUint16(at + COMPACT_INODE.gid, node.gid, true);
  }
  const body = at + (extended === 1 ? EXTENDED_INODE.end : COMPACT_INODE.end);
  if (size > 0) emitXattrs(out, inode, body);
  if (layout.tail[inode]! > 0) emitTail(out, inode, body + size);
}

/**
 * Writes the data blocks of an inode that has some. All of them have to be in the window, from `at` in the image on.
 */
export function emitBlocks(out: Output, inode: number, at: number): void {
  const { window, plan, layout } = out;
  const node = plan.scan.nodes[inode]!;
  const start = at - window.start;
  if (node.kind === 'directory') {
    emitDirectory(out, inode, start, false);
  } else if (node.kind === 'symlink') {
    writeBytes(window.bytes, node.target, start);
  } else if (plan.backings[inode] !== undefined) {
    emitChunks(window, start, layout.blocks[inode]! * BLOCK);
  } else if (node.kind === 'regular' && node.content.kind === 'inline') {
    const { bytes } = node.content;
    bytes.copy(window.bytes, start, 0, bytes.length - layout.tail[inode]!);
  }
}

function storedSize({ plan, layout }: Output, inode: number): number {
  return plan.scan.types[inode] === DIRENT_TYPE.directory
    ? layout.blocks[inode]! * BLOCK + layout.tail[inode]!
    : plan.size[inode]!;
}

/** The header's field whose meaning depends on the inode: first block, chunk format or device number. */
function dataField({ layout }: Output, inode: number, node: Node): number {
  const block = layout.firstBlock[inode]!;
  if (layout.dataLayout[inode] === LAYOUT_CHUNKED)
    return ((block & 0xffff0000) | (layout.chunkBits[inode]! - BLOCK_BITS)) >>> 0;
  return node.kind === 'char' || node.kind === 'block' ? node.rdev : block;
}

function emitXattrs({ window, plan, tableBase }: Output, inode: number, start: number): void {
  const { bytes, view } = window;
  let filter = 0;
  let at = start + XATTR_HEADER.end;
  let refs = plan.sharedRefs[inode]!;
  view.setUint8(start + XATTR_HEADER.sharedCount, refs);
  let local = at + XATTR_REF_SIZE * refs;
  const pairs = plan.xattrs[inode]!;
  for (let index = 0; index < pairs.length; index++) {
    const pair = pairs[index]!;
    filter |= pair.name.filterBit;
    if (pair.tableOffset >= 0 && refs > 0) {
      view.setUint32(at, (tableBase + pair.tableOffset) / XATTR_UNIT, true);
      at += XATTR_REF_SIZE;
      refs--;
    } else {
      pair.write(bytes, local);
      local += pair.size;
    }
  }
  if (plan.objectLast[inode] === 1) {
    filter |= OBJECT_FILTER_BITS;
    writeObjectXattrs(bytes, (plan.backings[inode] as ObjectContent).id, local);
  }
  view.setUint32(start + XATTR_HEADER.filter, ~filter >>> 0, true);
}

function emitTail(out: Output, inode: number, start: number): void {
  const { window, plan, layout } = out;
  const tail = layout.tail[inode]!;
  if (plan.backings[inode] !== undefined) return emitChunks(window, start, tail);
  const node = plan.scan.nodes[inode]!;
  if (node.kind === 'directory') {
    emitDirectory(out, inode, start, true);
  } else if (node.kind === 'symlink') {
    writeBytes(window.bytes, node.target, start);
  } else if (node.kind === 'regular' && node.content.kind === 'inline') {
    const { bytes } = node.content;
    bytes.copy(window.bytes, start, bytes.length - tail);
  }
}

/** Of chunks without data. */
function emitChunks({ view }: ImageWindow, start: number, length: number): void {
  for (let at = 0; at < length; at += CHUNK_INDEX_SIZE) view.setUint32(start + at, NULL_CHUNK, true);
}

/** Writes either what of a directory is beside its inode, or all before that. */
function emitDirectory(out: Output, inode: number, start: number, inTail: boolean): void {
  const { scan } = out.plan;
  const blocks = out.layout.blocks[inode]!;
  const last = out.layout.tail[inode]! > 0 ? blocks : blocks - 1;
  let first = scan.firstSlot[inode]!;
  const end = first + scan.slotCount[inode]!;
  for (let block = 0; block <= last; block++) {
    const next = block === last ? end : blockEnd(scan, first, end);
    if ((block === blocks) === inTail) emitDirents(out, first, next, inTail ? start : start + block * BLOCK);
    first = next;
  }
}

/** A block of a directory: fixed-size entries, then their names. */
function emitDirents({ window, plan, layout }: Output, first: number, end: number, start: number): void {
  const { bytes, view } = window;
  const { types, slotNames, slotTargets } = plan.scan;
  const namesOffset = (end - first) * DIRENT.end;
  // All at once is faster than each for itself.
  bytes.write(slotNames.slice(first, end).join(''), start + namesOffset, 'latin1');
  let at = start;
  let nameOffset = namesOffset;
  for (let slot = first; slot < end; slot++) {
    const target = slotTargets[slot]!;
    view.setUint32(at + DIRENT.nid, layout.position[target]! / SLOT, true);
    view.setUint16(at + DIRENT.nameOffset, nameOffset, true);
    bytes[at + DIRENT.type] = types[target]!;
    at += DIRENT.end;
    nameOffset += slotNames[slot]!.length;
  }
}
