import { showBytes } from '../../bytes.js';
import { FormatError } from '../../errors.js';
import type { Directory, ObjectContent } from '../../tree/tree.js';
import { backingOf, type Backing } from './backing.js';
import { forEachInode } from './entry-error.js';
import { INLINE_MAX, SYMLINK_MAX, XATTR_HEADER, XATTR_REF_SIZE, XATTR_UNIT } from '../format/format.js';
import { inodeXattrs } from './inode-xattrs.js';
import { objectXattrsSize } from '../format/object-xattrs.js';
import type { Writer, WriteOptions } from '../format/options.js';
import { breadthFirst, scanTree, type Scan } from './scan.js';
import { byIndexAscending, byNameDescending, XattrTable, type XattrPair } from './xattr-table.js';

/** The C library refers to this many shared xattrs per inode and repeats the rest; composefs-rs has no such rule. */
const SHARED_REFS_MAX = { composefs: 128, 'composefs-rs': 255 } as const;
/** As many bytes behind the header of the area as its length field can say. */
const XATTRS_MAX = XATTR_UNIT * 65534;
/** In formats 0 and 1: 1024 chunks of the largest size. */
const FILE_MAX = 2n ** 53n;

/** Everything an image will hold, before anything has an address. Lists are by inode, as in `Scan`. */
export interface Plan {
  scan: Scan;
  /** Inodes in the order of the image. */
  order: Int32Array;
  backings: (Backing | undefined)[];
  /** Bytes of a file or of a symlink's target. */
  size: Float64Array;
  /** In the order of the image; shared ones come first there, in this order. */
  xattrs: (readonly XattrPair[])[];
  /** 1 where the two xattrs of the backing object follow those, which are not shared then. */
  objectLast: Uint8Array;
  /** How many of an inode's xattrs are references into the table. */
  sharedRefs: Uint8Array;
  /** Bytes of the xattr area, 0 when there is none. */
  xattrSize: Int32Array;
  /** The table of shared xattrs. */
  shared: XattrPair[];
  tableLength: number;
  /** Whether an inode has a POSIX ACL. */
  hasAcl: boolean;
}

/** @throws FormatError EROFS_DEPTH, EROFS_NAME, EROFS_OBJECT_ID, EROFS_XATTR, EROFS_CONTENT, with the entry */
export function planImage(root: Directory, options: Required<WriteOptions>): Plan {
  const { version, writer, algorithm } = options;
  const scan = scanTree(root, { stubs: version !== 2, writer });
  const table = new XattrTable(version === 2);
  const count = scan.nodes.length;
  const plan: Plan = {
    scan,
    order: version === 2 ? Int32Array.from(scan.nodes, (_, inode) => inode) : breadthFirst(scan),
    backings: [],
    size: new Float64Array(count),
    xattrs: [],
    objectLast: new Uint8Array(count),
    sharedRefs: new Uint8Array(count),
    xattrSize: new Int32Array(count),
    shared: [],
    tableLength: 0,
    hasAcl: false,
  };
  forEachInode(scan, (inode) => {
    const node = scan.nodes[inode]!;
    let backing: Backing | undefined;
    if (node.kind === 'regular') {
      backing = backingOf(node.content, writer, algorithm);
      if (backing?.size === 0n && writer === 'composefs') backing = undefined;
      if (backing !== undefined && version !== 2 && backing.size > FILE_MAX)
        throw tooLarge('file', backing.size, '2^53');
      if (backing !== undefined) plan.size[inode] = Number(backing.size);
      else if (node.content.kind === 'inline')
        plan.size[inode] = checkLength('content', node.content.bytes.length, INLINE_MAX[version]);
    } else if (node.kind === 'symlink') {
      plan.size[inode] = checkLength('symlink target', node.target.length, SYMLINK_MAX[version]);
      if (!/^[\x01-\xff]+$/.test(node.target))
        throw new FormatError('EROFS_CONTENT', `"${showBytes(node.target)}" is no target that a symlink can have`);
    }
    plan.backings.push(backing);
    plan.xattrs.push(inodeXattrs(scan, inode, backing, table, plan.objectLast, options));
  });
  const { shared, length } = table.layOut(version === 2 ? byIndexAscending : byNameDescending);
  plan.shared = shared;
  plan.tableLength = length;
  // composefs-rs also takes longer names that merely start so.
  plan.hasAcl = table.hasName(
    ({ index, suffix }) => (index === 2 || index === 3) && (suffix === '' || writer === 'composefs-rs'),
  );
  forEachInode(scan, (inode) => measureXattrs(plan, inode, table, writer));
  return plan;
}

function measureXattrs(plan: Plan, inode: number, table: XattrTable, writer: Writer): void {
  const refsMax = SHARED_REFS_MAX[writer];
  let pairs = plan.xattrs[inode]!;
  let refs = 0;
  let size = 0;
  if (plan.objectLast[inode] === 1) {
    const { id } = plan.backings[inode] as ObjectContent;
    const object = table.knownObject(id);
    if (object === undefined) {
      size = objectXattrsSize(id);
    } else {
      pairs = plan.xattrs[inode] = pairs.concat(object);
      plan.objectLast[inode] = 0;
    }
  }
  for (let index = 0; index < pairs.length; index++) {
    const pair = pairs[index]!;
    const shared = pair.tableOffset >= 0 && (refs < refsMax || writer !== 'composefs');
    if (shared) refs++;
    size += shared ? XATTR_REF_SIZE : pair.size;
  }
  if (refs > refsMax)
    throw new FormatError('EROFS_XATTR', `an inode shares ${refs} xattrs with others, more than ${refsMax}`);
  if (size > XATTRS_MAX)
    throw new FormatError('EROFS_XATTR', `an inode has ${size + XATTR_HEADER.end} bytes of xattrs`);
  plan.sharedRefs[inode] = refs;
  plan.xattrSize[inode] = size === 0 ? 0 : XATTR_HEADER.end + size;
}

function checkLength(what: string, length: number, most: number): number {
  if (length > most) throw tooLarge(what, length, most);
  return length;
}

function tooLarge(what: string, length: number | bigint, most: number | string): FormatError {
  return new FormatError('EROFS_CONTENT', `${what} of ${length} bytes, this image format allows ${most}`);
}
