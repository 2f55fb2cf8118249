import { packDirectory } from './directory-blocks.js';
import {
  alignUp,
  BLOCK,
  CHUNK_BITS_MAX,
  CHUNK_INDEX_SIZE,
  DIRENT_TYPE,
  EXTENDED_INODE,
  FIRST_INODE,
  LAYOUT_CHUNKED,
  LAYOUT_INLINE,
  SLOT,
} from '../format/format.js';
import { emptyLayout, finishLayout, type Layout } from './layout.js';
import type { Plan } from './plan.js';

/**
 * Lays out an image of format 2, the first one of composefs-rs: all inodes extended, no build time.
 * @throws FormatError EROFS_TOO_LARGE
 */
export function layOutV2(plan: Plan): Layout {
  const layout = emptyLayout(plan.order.length);
  let position = FIRST_INODE;
  for (const inode of plan.order) {
    measureBody(plan, layout, inode);
    layout.extended[inode] = 1;
    const head = EXTENDED_INODE.end + plan.xattrSize[inode]!;
    const tail = layout.tail[inode]!;
    position = alignUp(position, SLOT);
    if (layout.dataLayout[inode] === LAYOUT_INLINE) {
      // The end is one past the tail, so that a tail up to the very end of a block moves, too.
      const start = position + head - 1;
      if (Math.floor(start / BLOCK) !== Math.floor((position + head + tail) / BLOCK)) {
        position = alignUp(position + BLOCK - (start % BLOCK), SLOT);
      }
    }
    layout.position[inode] = position;
    position += head + tail;
  }
  return finishLayout(plan, layout, position);
}

function measureBody(plan: Plan, layout: Layout, inode: number): void {
  const backing = plan.backings[inode];
  if (backing !== undefined) {
    layout.dataLayout[inode] = LAYOUT_CHUNKED;
    // This format marks all such files with the largest chunk size.
    layout.chunkBits[inode] = CHUNK_BITS_MAX;
    // Only a file with a digest gets its (empty) chunk index.
    layout.tail[inode] = backing.kind === 'external' && backing.digest === undefined ? 0 : CHUNK_INDEX_SIZE;
    return;
  }
  let tail = plan.size[inode]!;
  if (plan.scan.types[inode] === DIRENT_TYPE.directory) {
    const packed = packDirectory(plan.scan, inode);
    layout.blocks[inode] = packed.blocks;
    tail = packed.tail;
  }
  layout.tail[inode] = tail;
  if (tail > 0) layout.dataLayout[inode] = LAYOUT_INLINE;
}
