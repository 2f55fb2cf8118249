import type { ByteString } from '../bytes.js';
import { NO_XATTRS, type Xattrs } from '../tree/tree.js';
import { XATTR_ENTRY_HEADER_SIZE, XATTR_HEADER_SIZE, alignUp } from './format.js';
import { imageError } from './image-error.js';
import type { RawInode } from './read-inode.js';
import { xattrFilterBit, xattrPrefix } from './xattr-name.js';

interface Entry {
  name: ByteString;
  value: ByteString;
  filterBit: number;
  /** Bytes in the image, padded. */
  size: number;
}

/** Reads the xattrs of inodes, and each shared one once. */
export class XattrReader {
  private readonly shared = new Map<number, Entry>();
  private sharedBytes = 0;

  /** @param base where references to shared xattrs count from, in bytes */
  constructor(
    private readonly image: Buffer,
    private readonly base: number,
  ) {}

  /**
   * The xattrs of an inode as the image has them, with the names overlayfs sees: first its own, then shared ones.
   * @throws FormatError EROFS
   */
  read(inode: RawInode): Xattrs {
    if (inode.xattrSize === 0) return NO_XATTRS;
    const { image } = this;
    const start = inode.xattrsAt;
    const end = start + inode.xattrSize;
    if (end > image.length) throw imageError('xattrs beyond the image', start);
    const refs = image.readUInt8(start + 4);
    let at = start + XATTR_HEADER_SIZE + 4 * refs;
    if (at > end) throw imageError(`${refs} shared xattrs in ${inode.xattrSize} bytes`, start);
    const xattrs = new Map<ByteString, ByteString>();
    let filter = 0;
    const add = (entry: Entry): void => {
      xattrs.set(entry.name, entry.value);
      filter |= entry.filterBit;
    };
    while (at < end) {
      const entry = this.readEntry(at, end);
      add(entry);
      at += entry.size;
    }
    for (let ref = start + XATTR_HEADER_SIZE; ref < start + XATTR_HEADER_SIZE + 4 * refs; ref += 4) {
      add(this.readShared(this.base + 4 * image.readUInt32LE(ref), ref));
    }
    // The kernel does not look for xattrs the filter says are not there.
    if (image.readUInt32LE(start) !== ~filter >>> 0) throw imageError('the xattr name filter does not fit the names', start);
    return xattrs;
  }

  /** @throws FormatError EROFS: two shared xattrs have bytes in common */
  checkShared(): void {
    let end = 0;
    for (const [at, entry] of [...this.shared].sort(([a], [b]) => a - b)) {
      if (at < end) throw imageError('shared xattrs overlap', at);
      end = at + entry.size;
    }
  }

  private readShared(at: number, ref: number): Entry {
    let entry = this.shared.get(at);
    if (entry === undefined) {
      if (at + XATTR_ENTRY_HEADER_SIZE > this.image.length) throw imageError('shared xattr outside the image', ref);
      entry = this.readEntry(at, this.image.length);
      this.sharedBytes += entry.size;
      // Overlapping ones could add up to any amount of memory.
      if (this.sharedBytes > this.image.length) throw imageError('shared xattrs overlap', at);
      this.shared.set(at, entry);
    }
    return entry;
  }

  private readEntry(at: number, end: number): Entry {
    if (at + XATTR_ENTRY_HEADER_SIZE > end) throw imageError('xattr beyond its area', at);
    const nameLength = this.image.readUInt8(at);
    const index = this.image.readUInt8(at + 1);
    const valueLength = this.image.readUInt16LE(at + 2);
    const prefix = xattrPrefix(index);
    if (prefix === undefined) throw imageError(`unknown xattr prefix ${index}`, at);
    const nameAt = at + XATTR_ENTRY_HEADER_SIZE;
    const valueAt = nameAt + nameLength;
    const entryEnd = alignUp(valueAt + valueLength, 4);
    if (entryEnd > end) throw imageError('xattr beyond its area', at);
    const suffix = this.image.toString('latin1', nameAt, valueAt);
    if (prefix + suffix === '' || suffix.includes('\0')) throw imageError('bad xattr name', at);
    return {
      name: prefix + suffix,
      value: this.image.toString('latin1', valueAt, valueAt + valueLength),
      filterBit: xattrFilterBit(suffix, index),
      size: entryEnd - at,
    };
  }
}
