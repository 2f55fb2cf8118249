import type { ByteString } from '../../bytes.js';
import { NO_XATTRS, type Xattrs } from '../../tree/tree.js';
import { alignUp, XATTR_ENTRY, XATTR_HEADER, XATTR_REF_SIZE, XATTR_UNIT } from '../format/format.js';
import { imageError } from './image-error.js';
import type { RawInode } from './inode.js';
import type { Writer } from '../format/options.js';
import { xattrFilterBit, xattrPrefix } from '../format/xattr-name.js';

interface Entry {
  name: ByteString;
  value: ByteString;
  filterBit: number;
  /** Bytes in the image, padded. */
  size: number;
}

/** Reads the xattrs of inodes, and each shared one once. */
export class XattrReader {
  readonly #shared = new Map<number, Entry>();
  #sharedBytes = 0;
  readonly #image: Buffer;
  readonly #base: number;
  readonly #writer: Writer;

  /**
   * @param base where references to shared xattrs count from, in bytes
   * @param writer whose tools read it
   */
  constructor(image: Buffer, base: number, writer: Writer) {
    this.#image = image;
    this.#base = base;
    this.#writer = writer;
  }

  /**
   * The xattrs of an inode as the image has them, with the names overlayfs sees: first its own, then shared ones.
   * @throws FormatError EROFS
   */
  read(inode: RawInode): Xattrs {
    if (inode.xattrSize === 0) return NO_XATTRS;
    const image = this.#image;
    const start = inode.xattrsAt;
    const end = start + inode.xattrSize;
    if (end > image.length) throw imageError('xattrs beyond the image', start);
    const refs = image.readUInt8(start + XATTR_HEADER.sharedCount);
    let at = start + XATTR_HEADER.end + XATTR_REF_SIZE * refs;
    if (at > end) throw imageError(`${refs} shared xattrs in ${inode.xattrSize} bytes`, start);
    const xattrs = new Map<ByteString, ByteString>();
    let filter = 0;
    const add = (entry: Entry): void => {
      xattrs.set(entry.name, entry.value);
      filter |= entry.filterBit;
    };
    while (at < end) {
      const entry = this.#readEntry(at, end);
      add(entry);
      at += entry.size;
    }
    for (
      let ref = start + XATTR_HEADER.end;
      ref < start + XATTR_HEADER.end + XATTR_REF_SIZE * refs;
      ref += XATTR_REF_SIZE
    ) {
      add(this.#readShared(this.#base + XATTR_UNIT * image.readUInt32LE(ref), ref));
    }
    // The kernel does not look for xattrs the filter says are not there.
    if (image.readUInt32LE(start + XATTR_HEADER.filter) !== ~filter >>> 0)
      throw imageError('the xattr name filter does not fit the names', start);
    return xattrs;
  }

  /** @throws FormatError EROFS: two shared xattrs have bytes in common */
  checkShared(): void {
    let end = 0;
    for (const [at, entry] of [...this.#shared].sort(([a], [b]) => a - b)) {
      if (at < end) throw imageError('shared xattrs overlap', at);
      end = at + entry.size;
    }
  }

  #readShared(at: number, ref: number): Entry {
    let entry = this.#shared.get(at);
    if (entry === undefined) {
      if (at + XATTR_ENTRY.end > this.#image.length) throw imageError('shared xattr outside the image', ref);
      entry = this.#readEntry(at, this.#image.length);
      this.#sharedBytes += entry.size;
      // Overlapping ones could add up to any amount of memory.
      if (this.#sharedBytes > this.#image.length) throw imageError('shared xattrs overlap', at);
      this.#shared.set(at, entry);
    }
    return entry;
  }

  #readEntry(at: number, end: number): Entry {
    if (at + XATTR_ENTRY.end > end) throw imageError('xattr beyond its area', at);
    const nameLength = this.#image.readUInt8(at + XATTR_ENTRY.nameLength);
    const index = this.#image.readUInt8(at + XATTR_ENTRY.nameIndex);
    const valueLength = this.#image.readUInt16LE(at + XATTR_ENTRY.valueLength);
    const prefix = xattrPrefix(index);
    if (prefix === undefined) throw imageError(`unknown xattr prefix ${index}`, at);
    const nameAt = at + XATTR_ENTRY.end;
    const valueAt = nameAt + nameLength;
    const entryEnd = alignUp(valueAt + valueLength, XATTR_UNIT);
    if (entryEnd > end) throw imageError('xattr beyond its area', at);
    const suffix = this.#image.toString('latin1', nameAt, valueAt);
    // In images of ostree commits names end with a NUL, as they do in the commits. To C, it is not in them.
    if (prefix + suffix === '' || /^\0|\0./s.test(suffix)) throw imageError('bad xattr name', at);
    return {
      name: prefix + (this.#writer === 'composefs' ? suffix.replace(/\0$/, '') : suffix),
      value: this.#image.toString('latin1', valueAt, valueAt + valueLength),
      filterBit: xattrFilterBit(suffix, index),
      size: entryEnd - at,
    };
  }
}
