import { TYPE_BITS, type Node, type ObjectContent } from '../../tree/tree.js';
import { packDirectory } from './directory-blocks.js';
import {
  BLOCK,
  BLOCK_BITS,
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
    view.setUint32(at + INODE.data, dataField(out, inode), true);
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
    view.setUint32(at + INODE.data, dataField(out, inode), true);
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
    window.bytes.fill(NULL_CHUNK & 0xff, start, start + layout.blocks[inode]! * BLOCK);
  } else if (node.kind === 'regular' && node.content.kind === 'inline') {
    const { bytes } = node.content;
    bytes.copy(window.bytes, start, 0, bytes.length - layout.tail[inode]!);
  }
}

function storedSize({ plan, layout }: Output, inode: number): number {
  const node = plan.scan.nodes[inode]!;
  switch (node.kind) {
    case 'directory':
      return layout.blocks[inode]! * BLOCK + layout.tail[inode]!;
    case 'symlink':
      return node.target.length;
    case 'regular': {
      const backing = plan.backings[inode];
      if (backing !== undefined) return Number(backing.size);
      return node.content.kind === 'inline' ? node.content.bytes.length : 0;
    }
    default:
      return 0;
  }
}

/** The header's field whose meaning depends on the inode: first block, chunk format or device number. */
function dataField({ plan, layout }: Output, inode: number): number {
  const node = plan.scan.nodes[inode]!;
  if (node.kind === 'char' || node.kind === 'block') return node.rdev;
  const block = layout.firstBlock[inode]!;
  if (layout.dataLayout[inode] !== LAYOUT_CHUNKED) return block;
  return ((block & 0xffff0000) | (layout.chunkBits[inode]! - BLOCK_BITS)) >>> 0;
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
  const node = plan.scan.nodes[inode]!;
  const tail = layout.tail[inode]!;
  if (node.kind === 'directory') {
    emitDirectory(out, inode, start, true);
  } else if (node.kind === 'symlink') {
    writeBytes(window.bytes, node.target, start);
  } else if (plan.backings[inode] !== undefined) {
    window.bytes.fill(NULL_CHUNK & 0xff, start, start + tail);
  } else if (node.kind === 'regular' && node.content.kind === 'inline') {
    const { bytes } = node.content;
    bytes.copy(window.bytes, start, bytes.length - tail);
  }
}

/** Writes either what of a directory is beside its inode, or all before that. */
function emitDirectory(out: Output, inode: number, start: number, inTail: boolean): void {
  const blocks = out.layout.blocks[inode]!;
  let block = 0;
  let at = start;
  packDirectory(out.plan.scan, inode, (first, end) => {
    if ((block === blocks) === inTail) {
      emitDirents(out, first, end, at);
      at += BLOCK;
    }
    block++;
  });
}

/** A block of a directory: fixed-size entries, then their names. */
function emitDirents({ window, plan, layout }: Output, first: number, end: number, start: number): void {
  const { bytes, view } = window;
  const { types, slotNames, slotTargets } = plan.scan;
  let at = start;
  let nameAt = start + (end - first) * DIRENT.end;
  for (let slot = first; slot < end; slot++) {
    const target = slotTargets[slot]!;
    const name = slotNames[slot]!;
    view.setUint32(at + DIRENT.nid, layout.position[target]! / SLOT, true);
    view.setUint16(at + DIRENT.nameOffset, nameAt - start, true);
    bytes[at + DIRENT.type] = types[target]!;
    writeBytes(bytes, name, nameAt);
    at += DIRENT.end;
    nameAt += name.length;
  }
}
