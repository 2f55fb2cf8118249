import {
  BLOCK,
  BLOCK_BITS,
  COMPOSEFS_CONTAINER_VERSION,
  COMPOSEFS_MAGIC,
  EROFS_MAGIC,
  FIRST_INODE,
  FLAG_HAS_ACL,
  IMAGE_MAX,
  SLOT,
  SUPERBLOCK_OFFSET,
  SUPERBLOCK_SIZE,
} from './format.js';
import { imageError } from './image-error.js';
import type { FormatVersion } from './options.js';

/** What an image says about itself. */
export interface Superblock {
  version: FormatVersion;
  hasAcl: boolean;
  rootNid: number;
  inodes: bigint;
  /** mtime of compact inodes. */
  buildSec: bigint;
  buildNsec: number;
  /** Base of references to shared xattrs, in bytes. */
  xattrBase: number;
}

const COMPATIBLE_KNOWN = 7;
/** CHUNKED_FILE: chunk-based files, which composefs writes without saying so. */
const INCOMPATIBLE_KNOWN = 4;
/** Fields for devices, compression, fragments and name prefixes, which composefs images do not have: from, to. */
const UNUSED = [[13, 14], [84, SUPERBLOCK_SIZE]] as const;

/**
 * Checks the composefs header and the EROFS superblock.
 * @param image the whole image
 * @throws FormatError EROFS
 */
export function readSuperblock(image: Buffer): Superblock {
  if (image.length < BLOCK || image.length % BLOCK !== 0 || image.length > IMAGE_MAX) {
    throw imageError(`an image has whole blocks of ${BLOCK} bytes, at most ${IMAGE_MAX} bytes, and not ${image.length}`, 0);
  }
  if (image.readUInt32LE(0) !== COMPOSEFS_MAGIC) throw imageError('no composefs image', 0);
  if (image.readUInt32LE(4) !== COMPOSEFS_CONTAINER_VERSION) throw imageError(`unknown header version ${image.readUInt32LE(4)}`, 4);
  const flags = image.readUInt32LE(8);
  if ((flags & ~FLAG_HAS_ACL) !== 0) throw imageError(`unknown header flags ${flags}`, 8);
  const version = image.readUInt32LE(12);
  if (version !== 0 && version !== 1 && version !== 2) throw imageError(`unknown composefs version ${version}`, 12);

  const at = SUPERBLOCK_OFFSET;
  const expect = (offset: number, actual: number, expected: number, what: string): void => {
    if (actual !== expected) throw imageError(`${what} ${actual} instead of ${expected}`, at + offset);
  };
  expect(0, image.readUInt32LE(at), EROFS_MAGIC, 'EROFS magic');
  expect(8, image.readUInt32LE(at + 8) & ~COMPATIBLE_KNOWN, 0, 'unknown compatible features');
  expect(80, image.readUInt32LE(at + 80) & ~INCOMPATIBLE_KNOWN, 0, 'unknown incompatible features');
  expect(12, image.readUInt8(at + 12), BLOCK_BITS, 'block size (log2)');
  expect(36, image.readUInt32LE(at + 36), image.length / BLOCK, 'number of blocks');
  expect(40, image.readUInt32LE(at + 40), 0, 'first metadata block');
  for (const [from, to] of UNUSED) {
    if (image.subarray(at + from, at + to).some((byte) => byte !== 0)) throw imageError('unknown superblock fields', at + from);
  }
  const xattrBase = image.readUInt32LE(at + 44) * BLOCK;
  if (xattrBase >= image.length) throw imageError('xattr blocks outside the image', at + 44);
  const rootNid = image.readUInt16LE(at + 14);
  if (rootNid * SLOT < FIRST_INODE) throw imageError('root inode inside the superblock', at + 14);
  return {
    version,
    hasAcl: flags === FLAG_HAS_ACL,
    rootNid,
    inodes: image.readBigUInt64LE(at + 16),
    buildSec: image.readBigInt64LE(at + 24),
    buildNsec: image.readUInt32LE(at + 32),
    xattrBase,
  };
}
