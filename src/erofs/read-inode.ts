import { TYPE_BITS, type Metadata, type Node, type Xattrs } from '../tree/tree.js';
import {
  BLOCK,
  COMPACT_INODE_SIZE,
  EXTENDED_INODE_SIZE,
  FIRST_INODE,
  LAYOUT_CHUNKED,
  LAYOUT_INLINE,
  LAYOUT_PLAIN,
  SLOT,
  XATTR_HEADER_SIZE,
} from './format.js';
import { imageError } from './image-error.js';
import type { Superblock } from './read-superblock.js';

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

const KINDS = new Map<number, Node['kind']>((Object.keys(TYPE_BITS) as Node['kind'][]).map((kind) => [TYPE_BITS[kind], kind]));

/**
 * Reads an inode's header; of its xattrs and data only the place.
 * @throws FormatError EROFS
 */
export function readInode(image: Buffer, superblock: Superblock, nid: number): RawInode {
  const at = nid * SLOT;
  if (at < FIRST_INODE || at + COMPACT_INODE_SIZE > image.length) throw imageError('inode outside the image', at);
  const format = image.readUInt16LE(at);
  const extended = (format & 1) === 1;
  const headSize = extended ? EXTENDED_INODE_SIZE : COMPACT_INODE_SIZE;
  if (at + headSize > image.length) throw imageError('inode beyond the image', at);
  const layout = format >> 1;
  if (layout !== LAYOUT_PLAIN && layout !== LAYOUT_INLINE && layout !== LAYOUT_CHUNKED) {
    throw imageError(`unknown inode format ${format}`, at);
  }
  const mode = image.readUInt16LE(at + 4);
  const kind = KINDS.get(mode & 0o170000);
  if (kind === undefined) throw imageError(`unknown file type in mode ${mode.toString(8)}`, at);
  if (layout === LAYOUT_CHUNKED && kind !== 'regular') throw imageError(`chunks on a ${kind}`, at);
  const xattrs = image.readUInt16LE(at + 2);
  return {
    nid,
    at,
    kind,
    layout,
    mode: mode & 0o7777,
    links: extended ? image.readUInt32LE(at + 44) : image.readUInt16LE(at + 6),
    size: extended ? image.readBigUInt64LE(at + 8) : BigInt(image.readUInt32LE(at + 8)),
    data: image.readUInt32LE(at + 16),
    uid: extended ? image.readUInt32LE(at + 24) : image.readUInt16LE(at + 24),
    gid: extended ? image.readUInt32LE(at + 28) : image.readUInt16LE(at + 26),
    mtimeSec: extended ? image.readBigInt64LE(at + 32) : superblock.buildSec,
    mtimeNsec: extended ? image.readUInt32LE(at + 40) : superblock.buildNsec,
    xattrsAt: at + headSize,
    xattrSize: xattrs === 0 ? 0 : XATTR_HEADER_SIZE + 4 * (xattrs - 1),
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
  if (inode.size > BigInt(most)) throw imageError(`${inode.kind} of ${inode.size} bytes, at most ${most} are possible`, inode.at);
  const size = Number(inode.size);
  const tailLength = inode.layout === LAYOUT_INLINE ? size % BLOCK : 0;
  const tailAt = inode.xattrsAt + inode.xattrSize;
  if ((tailAt % BLOCK) + tailLength > BLOCK) throw imageError('inline data crosses a block', inode.at);
  return { blocksAt: inode.data * BLOCK, blocksLength: size - tailLength, tailAt, tailLength };
}
