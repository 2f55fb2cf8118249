/**
 * Structs and numbers of the EROFS image format and of the composefs header before it: offsets of fields by name, `end`
 * behind the last one. Everything is little-endian.
 * Sources: erofs_fs.h of Linux and lcfs-erofs.h of composefs.
 */
import type { Node } from '../../tree/tree.js';

export const BLOCK = 4096;
/** Inodes start at multiples of this; their number (nid) is offset / SLOT. */
export const SLOT = 32;

/** The header of composefs, with which an image begins. */
export const HEADER = { magic: 0, containerVersion: 4, flags: 8, version: 12, end: 16 } as const;
export const COMPOSEFS_MAGIC = 0xd078629a;
export const COMPOSEFS_CONTAINER_VERSION = 1;
/** Header flag: an inode has a POSIX ACL, so the image must not be mounted with `noacl`. */
export const FLAG_HAS_ACL = 1;

export const SUPERBLOCK_OFFSET = 1024;
/** `struct erofs_super_block`; of the fields behind `metaBlock` and `xattrBlock` composefs has one. */
export const SUPERBLOCK = {
  magic: 0,
  compatible: 8,
  blockBits: 12,
  extraSlots: 13,
  rootNid: 14,
  inodes: 16,
  buildSec: 24,
  buildNsec: 32,
  blocks: 36,
  metaBlock: 40,
  xattrBlock: 44,
  incompatible: 80,
  devices: 84,
  end: 128,
} as const;
export const EROFS_MAGIC = 0xe0f5e1e2;
export const EROFS_MAGIC_AT = SUPERBLOCK_OFFSET + SUPERBLOCK.magic;
export const BLOCK_BITS = 12;
/** mtimes are mtimes (2), xattr areas start with a name filter (4). */
export const FEATURES_COMPATIBLE = 6;
/** The root inode comes right behind the superblock. */
export const FIRST_INODE = SUPERBLOCK_OFFSET + SUPERBLOCK.end;

/** What both forms of an inode begin with. */
export const INODE = { format: 0, xattrCount: 2, mode: 4, size: 8, data: 16, number: 20 } as const;
/** `struct erofs_inode_compact`: 32 bits of size, and the mtime of the superblock. */
export const COMPACT_INODE = { links: 6, uid: 24, gid: 26, end: 32 } as const;
/** `struct erofs_inode_extended`: 64 bits of size. */
export const EXTENDED_INODE = { uid: 24, gid: 28, mtimeSec: 32, mtimeNsec: 40, links: 44, end: 64 } as const;

/** How the data of an inode is stored; the inode's format field is `layout << 1 | extended`. */
export const LAYOUT_PLAIN = 0;
export const LAYOUT_INLINE = 2;
export const LAYOUT_CHUNKED = 4;
/** A chunk without data: the file's content comes through overlayfs from an object. */
export const NULL_CHUNK = 0xffffffff;
export const CHUNK_INDEX_SIZE = 4;
/** Bits of the data field of a file with chunks: log2 of their size in blocks, and what must not be set. */
export const CHUNK_FORMAT = { blockBits: 0x1f, unknown: 0xffe0 } as const;
export const CHUNK_BITS_MAX = BLOCK_BITS + CHUNK_FORMAT.blockBits;

/** `struct erofs_xattr_ibody_header`, with which the xattrs of an inode begin; references to shared ones follow. */
export const XATTR_HEADER = { filter: 0, sharedCount: 4, end: 12 } as const;
/** A reference, which counts in the same units as shared xattrs are aligned to. */
export const XATTR_REF_SIZE = 4;
export const XATTR_UNIT = 4;
/** `struct erofs_xattr_entry`; name and value follow. */
export const XATTR_ENTRY = { nameLength: 0, nameIndex: 1, valueLength: 2, end: 4 } as const;

/** `struct erofs_dirent`. */
export const DIRENT = { nid: 0, nameOffset: 8, type: 10, end: 12 } as const;

/** File types of directory entries. */
export const DIRENT_TYPE = {
  regular: 1,
  directory: 2,
  char: 3,
  block: 4,
  fifo: 5,
  socket: 6,
  symlink: 7,
} as const satisfies Record<Node['kind'], number>;

/** Most bytes of content and longest symlink target that formats 0 and 1 (C's limits) and 2 (composefs-rs's) allow. */
export const INLINE_MAX = { 0: 5000, 1: 5000, 2: 512 } as const;
export const SYMLINK_MAX = { 0: 4095, 1: 4095, 2: 1024 } as const;

/** Whether an inode with this format field is extended. */
export function isExtended(format: number): boolean {
  return (format & 1) === 1;
}

/** Bytes of an inode's xattrs by the field that counts them, which says 1 for their header and 1 for each unit more. */
export function xattrAreaSize(count: number): number {
  return count === 0 ? 0 : XATTR_HEADER.end + XATTR_UNIT * (count - 1);
}

/** The other way round. */
export function xattrCount(size: number): number {
  return size === 0 ? 0 : (size - XATTR_HEADER.end) / XATTR_UNIT + 1;
}

/** How many bytes `offset` is short of a multiple of `alignment` (a power of two); exact for all safe integers. */
export function padding(offset: number, alignment: number): number {
  return -offset & (alignment - 1);
}

export function alignUp(offset: number, alignment: number): number {
  return offset + padding(offset, alignment);
}
