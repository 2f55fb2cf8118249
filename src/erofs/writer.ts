import type { Directory } from '../tree/tree.js';
import { emitInode } from './emit-inode.js';
import {
  BLOCK,
  BLOCK_BITS,
  COMPOSEFS_CONTAINER_VERSION,
  COMPOSEFS_MAGIC,
  EROFS_MAGIC,
  FEATURES_COMPATIBLE,
  FLAG_HAS_ACL,
  SLOT,
  SUPERBLOCK_OFFSET,
} from './format.js';
import { layOutV1, type Layout } from './layout.js';
import { layOutV2 } from './layout-v2.js';
import type { WriteOptions } from './options.js';
import { planImage, type Plan } from './plan.js';

/**
 * Writes the EROFS image of a tree, byte for byte as composefs does (see `Peer`). The tree is not changed.
 * @returns the image, a multiple of 4096 bytes
 * @throws FormatError for what no image can hold: EROFS_OBJECT_ID, EROFS_CONTENT, EROFS_XATTR, EROFS_DEPTH, EROFS_TOO_LARGE
 */
export function writeErofs(root: Directory, options: WriteOptions): Buffer {
  const complete = { peer: 'composefs-rs', ...options } as const;
  const plan = planImage(root, complete);
  const layout = options.version === 2 ? layOutV2(plan) : layOutV1(plan, complete.peer);
  const image = Buffer.alloc(layout.length);
  const view = new DataView(image.buffer, image.byteOffset, image.length);
  writeHeader(view, plan, complete);
  writeSuperblock(view, plan, layout, options.version);
  const tableBase = sharedTableBase(layout, options.version);
  const output = { image, view, plan, layout, tableBase, version: options.version };
  for (let index = 0; index < plan.order.length; index += 1) {
    const number = options.version === 2 ? layout.position[plan.order[index]!]! / SLOT : index;
    emitInode(output, plan.order[index]!, number);
  }
  for (const pair of plan.shared) pair.write(image, layout.inodesEnd + pair.tableOffset);
  return image;
}

function writeHeader(view: DataView, plan: Plan, options: Required<WriteOptions>): void {
  view.setUint32(0, COMPOSEFS_MAGIC, true);
  view.setUint32(4, COMPOSEFS_CONTAINER_VERSION, true);
  view.setUint32(8, options.version !== 2 && plan.hasAcl ? FLAG_HAS_ACL : 0, true);
  view.setUint32(12, options.version, true);
}

function writeSuperblock(view: DataView, plan: Plan, layout: Layout, version: WriteOptions['version']): void {
  const at = SUPERBLOCK_OFFSET;
  view.setUint32(at, EROFS_MAGIC, true);
  view.setUint32(at + 8, FEATURES_COMPATIBLE, true);
  view.setUint8(at + 12, BLOCK_BITS);
  view.setUint16(at + 14, layout.position[0]! / SLOT, true);
  view.setUint32(at + 16, plan.order.length, true);
  view.setBigInt64(at + 24, layout.buildTime.sec, true);
  view.setUint32(at + 32, layout.buildTime.nsec, true);
  view.setUint32(at + 36, layout.length / BLOCK, true);
  if (version !== 2) view.setUint32(at + 44, Math.floor(layout.inodesEnd / BLOCK), true);
}

/** References to shared xattrs count from the block that holds the table's start, or from the image's start. */
function sharedTableBase(layout: Layout, version: WriteOptions['version']): number {
  return version === 2 ? layout.inodesEnd : layout.inodesEnd % BLOCK;
}
