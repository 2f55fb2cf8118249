import { EROFS_IMAGE_LIMIT } from '../../limits.js';
import {
  BLOCK,
  BLOCK_BITS,
  COMPOSEFS_CONTAINER_VERSION,
  COMPOSEFS_MAGIC,
  EROFS_MAGIC,
  FIRST_INODE,
  FLAG_HAS_ACL,
  HEADER,
  SLOT,
  SUPERBLOCK,
  SUPERBLOCK_OFFSET,
} from '../format/format.js';
import { imageError } from './image-error.js';
import type { ErofsVersion } from '../format/options.js';

/** What an image says about itself. */
export interface Superblock {
  version: ErofsVersion;
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
const UNUSED = [
  [SUPERBLOCK.extraSlots, SUPERBLOCK.rootNid],
  [SUPERBLOCK.devices, SUPERBLOCK.end],
] as const;

/**
 * Checks the composefs header and the EROFS superblock.
 * @param image the whole image
 * @throws FormatError EROFS
 */
export function readSuperblock(image: Buffer): Superblock {
  if (image.length < BLOCK || image.length % BLOCK !== 0 || image.length > EROFS_IMAGE_LIMIT) {
    throw imageError(
      `an image has whole blocks of ${BLOCK} bytes, at most ${EROFS_IMAGE_LIMIT} bytes, and not ${image.length}`,
      0,
    );
  }
  if (image.readUInt32LE(HEADER.magic) !== COMPOSEFS_MAGIC) throw imageError('no composefs image', HEADER.magic);
  const containerVersion = image.readUInt32LE(HEADER.containerVersion);
  if (containerVersion !== COMPOSEFS_CONTAINER_VERSION)
    throw imageError(`unknown header version ${containerVersion}`, HEADER.containerVersion);
  const flags = image.readUInt32LE(HEADER.flags);
  if ((flags & ~FLAG_HAS_ACL) !== 0) throw imageError(`unknown header flags ${flags}`, HEADER.flags);
  const version = image.readUInt32LE(HEADER.version);
  if (version !== 0 && version !== 1 && version !== 2)
    throw imageError(`unknown composefs version ${version}`, HEADER.version);

  const at = SUPERBLOCK_OFFSET;
  const expect = (offset: number, actual: number, expected: number, what: string): void => {
    if (actual !== expected) throw imageError(`${what} ${actual} instead of ${expected}`, at + offset);
  };
  expect(SUPERBLOCK.magic, image.readUInt32LE(at + SUPERBLOCK.magic), EROFS_MAGIC, 'EROFS magic');
  expect(
    SUPERBLOCK.compatible,
    image.readUInt32LE(at + SUPERBLOCK.compatible) & ~COMPATIBLE_KNOWN,
    0,
    'unknown compatible features',
  );
  expect(
    SUPERBLOCK.incompatible,
    image.readUInt32LE(at + SUPERBLOCK.incompatible) & ~INCOMPATIBLE_KNOWN,
    0,
    'unknown incompatible features',
  );
  expect(SUPERBLOCK.blockBits, image.readUInt8(at + SUPERBLOCK.blockBits), BLOCK_BITS, 'block size (log2)');
  expect(SUPERBLOCK.blocks, image.readUInt32LE(at + SUPERBLOCK.blocks), image.length / BLOCK, 'number of blocks');
  expect(SUPERBLOCK.metaBlock, image.readUInt32LE(at + SUPERBLOCK.metaBlock), 0, 'first metadata block');
  for (const [from, to] of UNUSED) {
    if (image.subarray(at + from, at + to).some((byte) => byte !== 0))
      throw imageError('unknown superblock fields', at + from);
  }
  const xattrBase = image.readUInt32LE(at + SUPERBLOCK.xattrBlock) * BLOCK;
  if (xattrBase >= image.length) throw imageError('xattr blocks outside the image', at + SUPERBLOCK.xattrBlock);
  const rootNid = image.readUInt16LE(at + SUPERBLOCK.rootNid);
  if (rootNid * SLOT < FIRST_INODE) throw imageError('root inode inside the superblock', at + SUPERBLOCK.rootNid);
  return {
    version,
    hasAcl: flags === FLAG_HAS_ACL,
    rootNid,
    inodes: image.readBigUInt64LE(at + SUPERBLOCK.inodes),
    buildSec: image.readBigInt64LE(at + SUPERBLOCK.buildSec),
    buildNsec: image.readUInt32LE(at + SUPERBLOCK.buildNsec),
    xattrBase,
  };
}
