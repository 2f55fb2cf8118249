import { BLOCK, DIRENT } from '../format/format.js';
import type { Scan } from './scan.js';

/**
 * Splits a directory's entries into blocks.
 * @param each called with the slots of every block, in order
 * @returns number of whole blocks and bytes of the last, partial one (0 when it is a whole block, too)
 */
export function packDirectory(
  scan: Scan,
  inode: number,
  each?: (first: number, end: number) => void,
): { blocks: number; tail: number } {
  const { slotNames } = scan;
  const end = scan.firstSlot[inode]! + scan.slotCount[inode]!;
  let first = scan.firstSlot[inode]!;
  let blocks = 0;
  let used = 0;
  for (let slot = first; slot < end; slot++) {
    const size = DIRENT.end + slotNames[slot]!.length;
    if (used + size > BLOCK) {
      each?.(first, slot);
      first = slot;
      blocks++;
      used = 0;
    }
    used += size;
  }
  each?.(first, end);
  // More than half a block is not worth the room beside the inode.
  return used > BLOCK / 2 ? { blocks: blocks + 1, tail: 0 } : { blocks, tail: used };
}
