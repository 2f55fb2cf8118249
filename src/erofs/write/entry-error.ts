import { showBytes, type ByteString } from '../../bytes.js';
import { FormatError } from '../../errors.js';
import type { Scan } from './scan.js';

/** Longest path in a message, in bytes. */
const SHOWN_MAX = 300;

/** Does something for every inode; a FormatError comes out with the path of the inode it was thrown for. */
export function forEachInode(scan: Scan, work: (inode: number) => void): void {
  let inode = 0;
  try {
    for (; inode < scan.nodes.length; inode++) work(inode);
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    throw new FormatError(error.code, error.message, {
      place: { entry: showBytes(pathOf(scan, inode).slice(0, SHOWN_MAX)) },
    });
  }
}

function pathOf(scan: Scan, inode: number): ByteString {
  if (inode === 0) return '/';
  const names: ByteString[] = [];
  for (let at = inode; at !== 0; ) {
    const slot = scan.ownerSlot[at]!;
    names.unshift(scan.slotNames[slot]!);
    at = scan.nodes.findIndex(
      (_, parent) => slot >= scan.firstSlot[parent]! && slot < scan.firstSlot[parent]! + scan.slotCount[parent]!,
    );
  }
  return `/${names.join('/')}`;
}
