import { TYPE_BITS, type Node, type ObjectContent } from '../tree/tree.js';
import { packDirectory } from './directory-blocks.js';
import {
  BLOCK,
  BLOCK_BITS,
  COMPACT_INODE_SIZE,
  DIRENT_SIZE,
  DIRENT_TYPE,
  EXTENDED_INODE_SIZE,
  LAYOUT_CHUNKED,
  NULL_CHUNK,
  SLOT,
  XATTR_HEADER_SIZE,
} from './format.js';
import type { ImageWindow } from './image-window.js';
import type { Layout } from './layout.js';
import { OBJECT_FILTER_BITS, writeObjectXattrs } from './object-xattrs.js';
import type { FormatVersion } from './options.js';
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
  version: FormatVersion;
}

/** Writes one inode with its xattrs and its tail. All of it has to be in the window. */
export function emitInode(out: Output, inode: number, number: number): void {
  const { window, plan, layout, version } = out;
  const { view } = window;
  const node = plan.scan.nodes[inode]!;
  const extended = layout.extended[inode]!;
  const size = plan.xattrSize[inode]!;
  const at = layout.position[inode]! - window.start;
  view.setUint16(at, (layout.dataLayout[inode]! << 1) | extended, true);
  view.setUint16(at + 2, size === 0 ? 0 : (size - XATTR_HEADER_SIZE) / 4 + 1, true);
  view.setUint16(at + 4, MODE_BITS[plan.scan.types[inode]!]! | (node.mode & 0o7777), true);
  if (extended === 1) {
    view.setUint32(at + 16, dataField(out, inode), true);
    view.setUint32(at + 20, number, true);
    view.setUint32(at + 24, node.uid, true);
    view.setUint32(at + 28, node.gid, true);
    view.setBigInt64(at + 32, node.mtimeSec, true);
    view.setUint32(at + 40, version === 2 ? 0 : node.mtimeNsec, true);
    view.setUint32(at + 44, plan.scan.links[inode]!, true);
    const backing = plan.backings[inode]!;
    if (backing !== null) view.setBigUint64(at + 8, backing.size, true);
    else view.setUint32(at + 8, storedSize(out, inode), true);
  } else {
    view.setUint16(at + 6, plan.scan.links[inode]!, true);
    view.setUint32(at + 8, storedSize(out, inode), true);
    view.setUint32(at + 16, dataField(out, inode), true);
    view.setUint32(at + 20, number, true);
    view.setUint16(at + 24, node.uid, true);
    view.setUint16(at + 26, node.gid, true);
  }
  const body = at + (extended === 1 ? EXTENDED_INODE_SIZE : COMPACT_INODE_SIZE);
  if (size > 0) emitXattrs(out, inode, body);
  if (layout.tail[inode]! > 0) emitTail(out, inode, body + size);
}

/** Writes the data blocks of an inode that has some. All of them have to be in the window, from `at` in the image on. */
export function emitBlocks(out: Output, inode: number, at: number): void {
  const { window, plan, layout } = out;
  const node = plan.scan.nodes[inode]!;
  const start = at - window.start;
  if (node.kind === 'directory') {
    emitDirectory(out, inode, start, false);
  } else if (node.kind === 'symlink') {
    writeBytes(window.bytes, node.target, start);
  } else if (plan.backings[inode] != null) {
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
      const backing = plan.backings[inode]!;
      if (backing !== null) return Number(backing.size);
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
  let at = start + XATTR_HEADER_SIZE;
  let refs = plan.sharedRefs[inode]!;
  view.setUint8(start + 4, refs);
  let local = at + 4 * refs;
  const pairs = plan.xattrs[inode]!;
  for (let index = 0; index < pairs.length; index += 1) {
    const pair = pairs[index]!;
    filter |= pair.name.filterBit;
    if (pair.tableOffset >= 0 && refs > 0) {
      view.setUint32(at, (tableBase + pair.tableOffset) / 4, true);
      at += 4;
      refs -= 1;
    } else {
      pair.write(bytes, local);
      local += pair.size;
    }
  }
  if (plan.objectLast[inode] === 1) {
    filter |= OBJECT_FILTER_BITS;
    writeObjectXattrs(bytes, (plan.backings[inode] as ObjectContent).id, local);
  }
  view.setUint32(start, ~filter >>> 0, true);
}

function emitTail(out: Output, inode: number, start: number): void {
  const { window, plan, layout } = out;
  const node = plan.scan.nodes[inode]!;
  const tail = layout.tail[inode]!;
  if (node.kind === 'directory') {
    emitDirectory(out, inode, start, true);
  } else if (node.kind === 'symlink') {
    writeBytes(window.bytes, node.target, start);
  } else if (plan.backings[inode] != null) {
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
    block += 1;
  });
}

/** A block of a directory: fixed-size entries, then their names. */
function emitDirents({ window, plan, layout }: Output, first: number, end: number, start: number): void {
  const { bytes, view } = window;
  const { types, slotNames, slotTargets } = plan.scan;
  let at = start;
  let nameAt = start + (end - first) * DIRENT_SIZE;
  for (let slot = first; slot < end; slot += 1) {
    const target = slotTargets[slot]!;
    const name = slotNames[slot]!;
    view.setUint32(at, layout.position[target]! / SLOT, true);
    view.setUint16(at + 8, nameAt - start, true);
    bytes[at + 10] = types[target]!;
    writeBytes(bytes, name, nameAt);
    at += DIRENT_SIZE;
    nameAt += name.length;
  }
}
