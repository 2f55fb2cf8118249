import { DIGEST_SIZE } from '../../fsverity/algorithm.js';
import type { Directory } from '../../tree/tree.js';
import { emitBlocks, emitInode, type Output } from './emit-inode.js';
import {
  BLOCK,
  BLOCK_BITS,
  COMPOSEFS_CONTAINER_VERSION,
  COMPOSEFS_MAGIC,
  EROFS_MAGIC,
  FEATURES_COMPATIBLE,
  FIRST_INODE,
  FLAG_HAS_ACL,
  HEADER,
  INLINE_MAX,
  SLOT,
  SUPERBLOCK,
  SUPERBLOCK_OFFSET,
} from '../format/format.js';
import { layOutV1, type Layout } from './layout.js';
import { layOutV2 } from './layout-v2.js';
import type { WriteOptions } from '../format/options.js';
import { ImageWindow } from './image-window.js';
import { planImage, type Plan } from './plan.js';

/**
 * Writes the EROFS image of a tree, byte for byte as composefs does (see `Writer`). The tree is not changed.
 * @returns the image, a multiple of 4096 bytes
 * @throws FormatError for what no image can hold: EROFS_NAME, EROFS_OBJECT_ID, EROFS_CONTENT, EROFS_XATTR, EROFS_DEPTH,
 *   EROFS_TOO_LARGE; RangeError for unknown versions and algorithms
 * @example
 * ```ts
 * import { readFileSync, writeFileSync } from 'node:fs';
 * import { parseDump, writeErofs } from 'composefs-bridge';
 *
 * const image = writeErofs(parseDump(readFileSync('tree.dump')), { version: 1, algorithm: 'sha256' });
 * writeFileSync('tree.cfs', image);
 * console.log(image.length); // 16384
 * ```
 */
export function writeErofs(root: Directory, options: WriteOptions): Buffer {
  const { pieces } = writeErofsPieces(root, options, Infinity);
  return pieces.next().value as Buffer;
}

/**
 * The same in pieces, for callers that do not need the whole image at once.
 * @param size about how many bytes a piece has; more where a directory needs more, fewer at the end of a part of the
 *   image
 * @returns the image's length in bytes, and its pieces in order. A piece is valid until the next one is asked for.
 * @throws FormatError as `writeErofs`, also while the pieces are made
 */
export function writeErofsPieces(
  root: Directory,
  options: WriteOptions,
  size: number,
): { length: number; pieces: Generator<Buffer, void> } {
  const complete = { writer: 'composefs-rs', ...options } as const;
  if (!(options.version in INLINE_MAX)) throw new RangeError(`there is no format ${options.version}`);
  if (!(options.algorithm in DIGEST_SIZE))
    throw new RangeError(`unknown digest algorithm '${options.algorithm}', expected sha256 or sha512`);
  const plan = planImage(root, complete);
  const layout = options.version === 2 ? layOutV2(plan) : layOutV1(plan, complete.writer);
  return { length: layout.length, pieces: emitImage(plan, layout, complete, Math.min(size, layout.length)) };
}

function* emitImage(
  plan: Plan,
  layout: Layout,
  options: Required<WriteOptions>,
  size: number,
): Generator<Buffer, void> {
  const { version } = options;
  const { order } = plan;
  const window = new ImageWindow(size);
  const output = { window, plan, layout, tableBase: sharedTableBase(layout, version), version };
  yield* window.move(0, FIRST_INODE);
  writeHeader(window.view, plan, options);
  writeSuperblock(window.view, plan, layout, version);
  let index = emitInodes(output, 0);
  while (index < order.length) {
    yield* window.move(layout.position[order[index]!]!, inodeEnd(plan, layout, index));
    index = emitInodes(output, index);
  }
  for (const pair of plan.shared) {
    const at = layout.inodesEnd + pair.tableOffset;
    if (at + pair.size > window.end) yield* window.move(at, at + pair.size);
    pair.write(window.bytes, at - window.start);
  }
  for (const inode of layout.withBlocks) {
    const at = layout.firstBlock[inode]! * BLOCK;
    const end = at + layout.blocks[inode]! * BLOCK;
    if (end > window.end) yield* window.move(at, end);
    emitBlocks(output, inode, at);
  }
  yield* window.move(layout.length, layout.length);
}

/** Writes inodes from `first` of the order on. @returns the first that is not all in the window */
function emitInodes(output: Output, first: number): number {
  const { window, plan, layout, version } = output;
  const { order } = plan;
  for (let index = first; index < order.length; index++) {
    if (inodeEnd(plan, layout, index) > window.end) return index;
    const inode = order[index]!;
    emitInode(output, inode, version === 2 ? layout.position[inode]! / SLOT : index);
  }
  return order.length;
}

/** Where the next inode is, or else the table of xattrs. */
function inodeEnd({ order }: Plan, { position, inodesEnd }: Layout, index: number): number {
  return index + 1 < order.length ? position[order[index + 1]!]! : inodesEnd;
}

function writeHeader(view: DataView, plan: Plan, options: Required<WriteOptions>): void {
  view.setUint32(HEADER.magic, COMPOSEFS_MAGIC, true);
  view.setUint32(HEADER.containerVersion, COMPOSEFS_CONTAINER_VERSION, true);
  view.setUint32(HEADER.flags, options.version !== 2 && plan.hasAcl ? FLAG_HAS_ACL : 0, true);
  view.setUint32(HEADER.version, options.version, true);
}

function writeSuperblock(view: DataView, plan: Plan, layout: Layout, version: WriteOptions['version']): void {
  const at = SUPERBLOCK_OFFSET;
  view.setUint32(at + SUPERBLOCK.magic, EROFS_MAGIC, true);
  view.setUint32(at + SUPERBLOCK.compatible, FEATURES_COMPATIBLE, true);
  view.setUint8(at + SUPERBLOCK.blockBits, BLOCK_BITS);
  view.setUint16(at + SUPERBLOCK.rootNid, layout.position[0]! / SLOT, true);
  view.setUint32(at + SUPERBLOCK.inodes, plan.order.length, true);
  view.setBigInt64(at + SUPERBLOCK.buildSec, layout.buildTime.sec, true);
  view.setUint32(at + SUPERBLOCK.buildNsec, layout.buildTime.nsec, true);
  view.setUint32(at + SUPERBLOCK.blocks, layout.length / BLOCK, true);
  if (version !== 2) view.setUint32(at + SUPERBLOCK.xattrBlock, Math.floor(layout.inodesEnd / BLOCK), true);
}

/** References to shared xattrs count from the block that holds the table's start, or from the image's start. */
function sharedTableBase(layout: Layout, version: WriteOptions['version']): number {
  return version === 2 ? layout.inodesEnd : layout.inodesEnd % BLOCK;
}
