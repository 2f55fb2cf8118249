/**
 * Numbers of the EROFS image format and of the composefs header before it. Everything is little-endian.
 * Sources: erofs_fs.h of Linux and lcfs-erofs.h of composefs.
 */
import type { Node } from '../tree/tree.js';

export const BLOCK = 4096;
/** Inodes start at multiples of this; their number (nid) is offset / SLOT. */
export const SLOT = 32;

export const COMPOSEFS_MAGIC = 0xd078629a;
export const COMPOSEFS_CONTAINER_VERSION = 1;
/** Header flag: an inode has a POSIX ACL, so the image must not be mounted with `noacl`. */
export const FLAG_HAS_ACL = 1;

export const SUPERBLOCK_OFFSET = 1024;
export const SUPERBLOCK_SIZE = 128;
export const EROFS_MAGIC = 0xe0f5e1e2;
export const BLOCK_BITS = 12;
/** mtimes are mtimes (2), xattr areas start with a name filter (4). */
export const FEATURES_COMPATIBLE = 6;
/** The root inode comes right behind the superblock. */
export const FIRST_INODE = SUPERBLOCK_OFFSET + SUPERBLOCK_SIZE;

export const COMPACT_INODE_SIZE = 32;
export const EXTENDED_INODE_SIZE = 64;

/** How the data of an inode is stored; the inode's format field is `layout << 1 | extended`. */
export const LAYOUT_PLAIN = 0;
export const LAYOUT_INLINE = 2;
export const LAYOUT_CHUNKED = 4;
/** A chunk without data: the file's content comes through overlayfs from an object. */
export const NULL_CHUNK = 0xffffffff;
export const CHUNK_BITS_MAX = BLOCK_BITS + 31;

export const XATTR_HEADER_SIZE = 12;
export const XATTR_ENTRY_HEADER_SIZE = 4;
export const DIRENT_SIZE = 12;

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

/** Largest image written or read, in bytes: the limit of composefs-rs. */
export const IMAGE_MAX = 2 ** 30;

/** Most bytes of content and longest symlink target that formats 0 and 1 (C's limits) and 2 (composefs-rs's) allow. */
export const INLINE_MAX = { 0: 5000, 1: 5000, 2: 512 } as const;
export const SYMLINK_MAX = { 0: 4095, 1: 4095, 2: 1024 } as const;

/** How many bytes `offset` is short of a multiple of `alignment` (a power of two); exact for all safe integers. */
export function padding(offset: number, alignment: number): number {
  return -offset & (alignment - 1);
}

export function alignUp(offset: number, alignment: number): number {
  return offset + padding(offset, alignment);
}
