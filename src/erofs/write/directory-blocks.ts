import { BLOCK, DIRENT } from '../format/format.js';
import type { Scan } from './scan.js';

/** Number of whole blocks of a directory, and bytes of the last, partial one (0 when it is a whole block, too). */
export function packDirectory(scan: Scan, inode: number): { blocks: number; tail: number } {
  const { slotNames } = scan;
  let slot = scan.firstSlot[inode]!;
  const end = slot + scan.slotCount[inode]!;
  let blocks = 0;
  let used = 0;
  for (; slot < end; slot++) {
    const size = DIRENT.end + slotNames[slot]!.length;
    used += size;
    if (used <= BLOCK) continue;
    blocks++;
    used = size;
  }
  // More than half a block is not worth the room beside the inode.
  return used > BLOCK / 2 ? { blocks: blocks + 1, tail: 0 } : { blocks, tail: used };
}

/** The slot behind the last one that is in one block with `first`, up to `end`. */
export function blockEnd({ slotNames }: Scan, first: number, end: number): number {
  let used = 0;
  for (let slot = first; slot < end; slot++) {
    used += DIRENT.end + slotNames[slot]!.length;
    if (used > BLOCK) return slot;
  }
  return end;
}
