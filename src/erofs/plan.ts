import { FormatError } from '../errors.js';
import type { Directory } from '../tree/tree.js';
import { backingOf, type Backing } from './backing.js';
import { INLINE_MAX, SYMLINK_MAX, XATTR_HEADER_SIZE } from './format.js';
import { inodeXattrs } from './inode-xattrs.js';
import type { WriteOptions } from './options.js';
import { breadthFirst, scanTree, type Scan } from './scan.js';
import { byIndexAscending, byNameDescending, XattrTable, type XattrPair } from './xattr-table.js';

/** The C library refers to this many shared xattrs per inode and repeats the rest; composefs-rs has no such rule. */
const SHARED_REFS_MAX = { composefs: 128, 'composefs-rs': 255 } as const;

/** Everything an image will hold, before anything has an address. Lists are by inode, as in `Scan`. */
export interface Plan {
  scan: Scan;
  /** Inodes in the order of the image. */
  order: Int32Array;
  backings: (Backing | null)[];
  /** In the order of the image; shared ones come first there, in this order. */
  xattrs: (readonly XattrPair[])[];
  /** How many of them are references into the table. */
  sharedRefs: number[];
  /** Bytes of the xattr area, 0 when there is none. */
  xattrSize: number[];
  /** The table of shared xattrs. */
  shared: XattrPair[];
  tableLength: number;
}

/** @throws FormatError EROFS_DEPTH, EROFS_OBJECT_ID, EROFS_XATTR, EROFS_CONTENT */
export function planImage(root: Directory, options: Required<WriteOptions>): Plan {
  const { version, peer, algorithm } = options;
  const scan = scanTree(root, { stubs: version !== 2, peer });
  const table = new XattrTable(version === 2);
  const plan: Plan = {
    scan,
    order: version === 2 ? Int32Array.from(scan.nodes, (_, inode) => inode) : breadthFirst(scan),
    backings: [],
    xattrs: [],
    sharedRefs: [],
    xattrSize: [],
    shared: [],
    tableLength: 0,
  };
  scan.nodes.forEach((node, inode) => {
    let backing: Backing | null = null;
    if (node.kind === 'regular') {
      backing = backingOf(node.content, peer, algorithm);
      if (backing?.size === 0n && peer === 'composefs') backing = null;
      if (node.content.kind === 'inline') checkLength('content', node.content.bytes.length, INLINE_MAX[version]);
    } else if (node.kind === 'symlink') {
      checkLength('symlink target', node.target.length, SYMLINK_MAX[version]);
    }
    plan.backings.push(backing);
    plan.xattrs.push(inodeXattrs(scan, inode, backing, table, { version, peer }));
  });
  const { shared, length } = table.layOut(version === 2 ? byIndexAscending : byNameDescending);
  plan.shared = shared;
  plan.tableLength = length;
  for (const pairs of plan.xattrs) addXattrSize(plan, pairs, SHARED_REFS_MAX[peer], peer === 'composefs');
  return plan;
}

function addXattrSize(plan: Plan, pairs: readonly XattrPair[], refsMax: number, spill: boolean): void {
  let refs = 0;
  let size = pairs.length === 0 ? 0 : XATTR_HEADER_SIZE;
  for (const pair of pairs) {
    const shared = pair.tableOffset >= 0 && (refs < refsMax || !spill);
    if (shared) refs += 1;
    size += shared ? 4 : pair.size;
  }
  if (refs > refsMax) throw new FormatError('EROFS_XATTR', `an inode shares ${refs} xattrs with others, more than ${refsMax}`);
  if (size > 4 * 65534 + XATTR_HEADER_SIZE) throw new FormatError('EROFS_XATTR', `an inode has ${size} bytes of xattrs`);
  plan.sharedRefs.push(refs);
  plan.xattrSize.push(size);
}

function checkLength(what: string, length: number, most: number): void {
  if (length > most) throw new FormatError('EROFS_CONTENT', `${what} of ${length} bytes, this image format allows ${most}`);
}
