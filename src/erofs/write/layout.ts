import { FormatError } from '../../errors.js';
import { EROFS_IMAGE_LIMIT } from '../../limits.js';
import { packDirectory } from './directory-blocks.js';
import {
  alignUp,
  BLOCK,
  BLOCK_BITS,
  CHUNK_BITS_MAX,
  CHUNK_INDEX_SIZE,
  COMPACT_INODE,
  DIRENT_TYPE,
  EXTENDED_INODE,
  FIRST_INODE,
  LAYOUT_CHUNKED,
  LAYOUT_INLINE,
  LAYOUT_PLAIN,
  SLOT,
} from '../format/format.js';
import type { Writer } from '../format/options.js';
import type { Plan } from './plan.js';

/** Where everything goes. Lists are by inode. */
export interface Layout {
  /** Seconds and nanoseconds that compact inodes have as mtime. */
  buildTime: { sec: bigint; nsec: number };
  extended: Uint8Array;
  dataLayout: Uint8Array;
  /** Byte offset of the inode. */
  position: Float64Array;
  /** Bytes that follow inode and xattrs. */
  tail: Int32Array;
  /** Number of whole data blocks. */
  blocks: Int32Array;
  firstBlock: Int32Array;
  /** The inodes that have some, in the order of the image. */
  withBlocks: number[];
  /** log2 of the chunk size of files whose data is outside. */
  chunkBits: Uint8Array;
  /** End of the inodes, where the table of shared xattrs starts. */
  inodesEnd: number;
  /** Length of the image. */
  length: number;
}

export function emptyLayout(count: number): Layout {
  return {
    buildTime: { sec: 0n, nsec: 0 },
    extended: new Uint8Array(count),
    dataLayout: new Uint8Array(count),
    position: new Float64Array(count),
    tail: new Int32Array(count),
    blocks: new Int32Array(count),
    firstBlock: new Int32Array(count),
    withBlocks: [],
    chunkBits: new Uint8Array(count),
    inodesEnd: 0,
    length: 0,
  };
}

/**
 * Lays out an image of format 0 or 1.
 * @throws FormatError EROFS_CONTENT, EROFS_TOO_LARGE
 */
export function layOutV1(plan: Plan, writer: Writer): Layout {
  const layout = emptyLayout(plan.order.length);
  layout.buildTime = earliest(plan, writer);
  const { order, xattrSize } = plan;
  let position = FIRST_INODE;
  for (let index = 0; index < order.length; index++) {
    const inode = order[index]!;
    measureBody(plan, layout, inode);
    const extended = needsExtended(plan, layout, inode, writer);
    layout.extended[inode] = extended ? 1 : 0;
    const head = (extended ? EXTENDED_INODE.end : COMPACT_INODE.end) + xattrSize[inode]!;
    position = alignUp(position, SLOT);
    if (layout.tail[inode] !== 0) position = place(plan, layout, inode, position, head);
    layout.position[inode] = position;
    position += head + layout.tail[inode]!;
  }
  return finishLayout(plan, layout, position);
}

/** Assigns the data blocks, which follow inodes and xattr table in the order of the inodes. */
export function finishLayout(plan: Plan, layout: Layout, inodesEnd: number): Layout {
  layout.inodesEnd = alignUp(inodesEnd, SLOT);
  let block = alignUp(layout.inodesEnd + plan.tableLength, BLOCK) / BLOCK;
  const { order } = plan;
  for (let index = 0; index < order.length; index++) {
    const inode = order[index]!;
    const count = layout.blocks[inode]!;
    if (count === 0) continue;
    layout.withBlocks.push(inode);
    layout.firstBlock[inode] = block;
    block += count;
  }
  layout.length = block * BLOCK;
  if (layout.length > EROFS_IMAGE_LIMIT) {
    throw new FormatError(
      'EROFS_TOO_LARGE',
      `the image would have ${layout.length} bytes, more than ${EROFS_IMAGE_LIMIT}`,
    );
  }
  return layout;
}

/** The C library compares times as signed numbers, composefs-rs as unsigned ones. */
function earliest(plan: Plan, writer: Writer): Layout['buildTime'] {
  const { nodes } = plan.scan;
  let least = nodes[0]!;
  let leastSec = comparable(least.mtimeSec, writer);
  for (const node of nodes) {
    const sec = comparable(node.mtimeSec, writer);
    if (sec < leastSec || (sec === leastSec && node.mtimeNsec < least.mtimeNsec)) {
      least = node;
      leastSec = sec;
    }
  }
  return { sec: least.mtimeSec, nsec: least.mtimeNsec };
}

function comparable(sec: bigint, writer: Writer): bigint {
  return sec < 0n && writer === 'composefs-rs' ? BigInt.asUintN(64, sec) : sec;
}

function needsExtended(plan: Plan, layout: Layout, inode: number, writer: Writer): boolean {
  const node = plan.scan.nodes[inode]!;
  const { sec, nsec } = layout.buildTime;
  if (node.mtimeNsec !== nsec || node.mtimeSec !== sec) return true;
  if (plan.scan.links[inode]! > 65535 || node.uid > 65535 || node.gid > 65535) return true;
  switch (plan.scan.types[inode]) {
    case DIRENT_TYPE.directory:
    case DIRENT_TYPE.symlink:
      return false;
    case DIRENT_TYPE.regular:
      return plan.size[inode]! > 0xffffffff;
    default:
      return writer === 'composefs' && 'claimedSize' in node && node.claimedSize > 0xffffffffn;
  }
}

function measureBody(plan: Plan, layout: Layout, inode: number): void {
  const size = plan.size[inode]!;
  switch (plan.scan.types[inode]) {
    case DIRENT_TYPE.regular:
      if (plan.backings[inode] === undefined) measureInline(layout, inode, size);
      else measureChunks(layout, inode, size);
      break;
    case DIRENT_TYPE.directory: {
      const { blocks, tail } = packDirectory(plan.scan, inode);
      layout.blocks[inode] = blocks;
      setTail(layout, inode, tail);
      break;
    }
    case DIRENT_TYPE.symlink:
      setTail(layout, inode, size);
  }
}

function setTail(layout: Layout, inode: number, tail: number): void {
  layout.tail[inode] = tail;
  layout.dataLayout[inode] = tail > 0 ? LAYOUT_INLINE : LAYOUT_PLAIN;
}

function measureInline(layout: Layout, inode: number, size: number): void {
  const tail = size % BLOCK;
  const whole = tail > BLOCK / 2;
  layout.blocks[inode] = Math.floor(size / BLOCK) + (whole ? 1 : 0);
  setTail(layout, inode, whole ? 0 : tail);
}

/** As few chunks as the format allows for a file: one up to 8 TiB. */
function measureChunks(layout: Layout, inode: number, size: number): void {
  let bits = BLOCK_BITS;
  let chunk = BLOCK;
  for (; bits < CHUNK_BITS_MAX && chunk < size; bits++) chunk *= 2;
  layout.chunkBits[inode] = bits;
  layout.tail[inode] = CHUNK_INDEX_SIZE * Math.ceil(size / chunk);
  layout.dataLayout[inode] = LAYOUT_CHUNKED;
}

/**
 * Finds the place of an inode with a tail at or after `position`, and moves its tail to a block where it does not fit.
 */
function place(plan: Plan, layout: Layout, inode: number, position: number, head: number): number {
  const tail = layout.tail[inode]!;
  if (plan.scan.types[inode] === DIRENT_TYPE.symlink) {
    // Kernels before 6.12 refuse inline targets across blocks; both tests look at the original length.
    const total = head + tail;
    if (total >= BLOCK) moveTailToBlock(layout, inode);
    return Math.floor(position / BLOCK) === Math.floor((position + total - 1) / BLOCK)
      ? position
      : alignUp(position, BLOCK);
  }
  const room = BLOCK - ((position + head) % BLOCK);
  if (room >= tail) return position;
  const shift = alignUp(room, SLOT);
  if (tail <= BLOCK - ((position + head + shift) % BLOCK)) return position + shift;
  moveTailToBlock(layout, inode);
  return alignUp(position, BLOCK);
}

function moveTailToBlock(layout: Layout, inode: number): void {
  layout.blocks[inode]!++;
  layout.tail[inode] = 0;
  if (layout.dataLayout[inode] === LAYOUT_INLINE) layout.dataLayout[inode] = LAYOUT_PLAIN;
}
