import { TYPE_BITS, type Metadata, type Node, type Xattrs } from '../../tree/tree.js';
import {
  BLOCK,
  COMPACT_INODE,
  EXTENDED_INODE,
  FIRST_INODE,
  INODE,
  LAYOUT_CHUNKED,
  LAYOUT_INLINE,
  LAYOUT_PLAIN,
  SLOT,
  isExtended,
  xattrAreaSize,
} from '../format/format.js';
import { imageError } from './image-error.js';
import type { Superblock } from './superblock.js';

/** An inode's header. */
export interface RawInode {
  nid: number;
  /** Byte offset in the image. */
  at: number;
  kind: Node['kind'];
  layout: number;
  mode: number;
  links: number;
  size: bigint;
  /** First block, chunk format or device number. */
  data: number;
  uid: number;
  gid: number;
  mtimeSec: bigint;
  mtimeNsec: number;
  xattrsAt: number;
  /** Bytes of the xattr area. */
  xattrSize: number;
}

const KINDS = new Map<number, Node['kind']>(
  (Object.keys(TYPE_BITS) as Node['kind'][]).map((kind) => [TYPE_BITS[kind], kind]),
);

/**
 * Reads an inode's header; of its xattrs and data only the place.
 * @throws FormatError EROFS
 */
export function readInode(image: Buffer, superblock: Superblock, nid: number): RawInode {
  const at = nid * SLOT;
  if (at < FIRST_INODE || at + COMPACT_INODE.end > image.length) throw imageError('inode outside the image', at);
  const format = image.readUInt16LE(at + INODE.format);
  const extended = isExtended(format);
  const headSize = extended ? EXTENDED_INODE.end : COMPACT_INODE.end;
  if (at + headSize > image.length) throw imageError('inode beyond the image', at);
  const layout = format >> 1;
  if (layout !== LAYOUT_PLAIN && layout !== LAYOUT_INLINE && layout !== LAYOUT_CHUNKED) {
    throw imageError(`unknown inode format ${format}`, at);
  }
  const mode = image.readUInt16LE(at + INODE.mode);
  const kind = KINDS.get(mode & 0o170000);
  if (kind === undefined) throw imageError(`unknown file type in mode ${mode.toString(8)}`, at);
  if (layout === LAYOUT_CHUNKED && kind !== 'regular') throw imageError(`chunks on a ${kind}`, at);
  return {
    nid,
    at,
    kind,
    layout,
    mode: mode & 0o7777,
    links: extended ? image.readUInt32LE(at + EXTENDED_INODE.links) : image.readUInt16LE(at + COMPACT_INODE.links),
    size: extended ? image.readBigUInt64LE(at + INODE.size) : BigInt(image.readUInt32LE(at + INODE.size)),
    data: image.readUInt32LE(at + INODE.data),
    uid: extended ? image.readUInt32LE(at + EXTENDED_INODE.uid) : image.readUInt16LE(at + COMPACT_INODE.uid),
    gid: extended ? image.readUInt32LE(at + EXTENDED_INODE.gid) : image.readUInt16LE(at + COMPACT_INODE.gid),
    mtimeSec: extended ? image.readBigInt64LE(at + EXTENDED_INODE.mtimeSec) : superblock.buildSec,
    mtimeNsec: extended ? image.readUInt32LE(at + EXTENDED_INODE.mtimeNsec) : superblock.buildNsec,
    xattrsAt: at + headSize,
    xattrSize: xattrAreaSize(image.readUInt16LE(at + INODE.xattrCount)),
  };
}

/** What a tree keeps of an inode's header. */
export function metadataOf(inode: RawInode, xattrs: Xattrs): Metadata {
  const { mode, uid, gid, mtimeSec, mtimeNsec } = inode;
  return { mode, uid, gid, mtimeSec, mtimeNsec, xattrs };
}

/** Where the bytes of a directory, symlink or inline file are: whole blocks, then bytes beside the inode. */
export interface Body {
  blocksAt: number;
  blocksLength: number;
  tailAt: number;
  tailLength: number;
}

/**
 * Finds the data of an inode that is not chunk-based.
 * @param most largest size that is accepted
 * @throws FormatError EROFS
 */
export function bodyOf(inode: RawInode, most: number): Body {
  if (inode.size > BigInt(most))
    throw imageError(`${inode.kind} of ${inode.size} bytes, at most ${most} are possible`, inode.at);
  const size = Number(inode.size);
  const tailLength = inode.layout === LAYOUT_INLINE ? size % BLOCK : 0;
  const tailAt = inode.xattrsAt + inode.xattrSize;
  if ((tailAt % BLOCK) + tailLength > BLOCK) throw imageError('inline data crosses a block', inode.at);
  return { blocksAt: inode.data * BLOCK, blocksLength: size - tailLength, tailAt, tailLength };
}
