// What an image's files lead to, found by walking its directories once and looking at inodes only as far as that needs.
import { EROFS_IMAGE_LIMIT } from '../../limits.js';
import {
  alignUp,
  BLOCK,
  COMPACT_INODE,
  DIRENT,
  DIRENT_TYPE,
  EXTENDED_INODE,
  FIRST_INODE,
  INODE,
  isExtended,
  LAYOUT_CHUNKED,
  LAYOUT_INLINE,
  LAYOUT_PLAIN,
  SLOT,
  XATTR_ENTRY,
  XATTR_HEADER,
  XATTR_REF_SIZE,
  XATTR_UNIT,
  xattrAreaSize,
} from '../format/format.js';
import { METACOPY_VALUE } from '../format/object-xattrs.js';
import { nidAt } from './directory.js';
import { imageError } from './image-error.js';
import { readSuperblock } from './superblock.js';
import { METACOPY, OVERLAY, REDIRECT } from '../format/overlay-names.js';
import { xattrName, xattrPrefix } from '../format/xattr-name.js';

/** How many digests are handed over at once. */
const PART = 16_384;
const DIRECTORY = 0o040000;
const TYPE_MASK = 0o170000;
/** Number of the prefix `trusted.`, and the names behind it. */
const TRUSTED = xattrName(OVERLAY, false).index;
const METACOPY_NAME = Buffer.from(xattrName(METACOPY, false).suffix, 'latin1');
const REDIRECT_NAME = Buffer.from(xattrName(REDIRECT, false).suffix, 'latin1');
const PATH = /^\/([0-9a-f]{2})\/([0-9a-f]{62}|[0-9a-f]{126})$/;
const SLASH = 0x2f;
const HEX = Buffer.from('0123456789abcdef', 'latin1');
const KNOWN_TYPES: ReadonlySet<number> = new Set([
  0o100000,
  DIRECTORY,
  0o120000,
  0o020000,
  0o060000,
  0o010000,
  0o140000,
]);
const DIRECTORY_ENTRY = DIRENT_TYPE.directory;

/**
 * Lists what an image leads to, several times faster than by reading its tree. Offsets and counts are checked, so that
 * every inode is inside the image and met once; what a tree would hold beyond that is not looked at.
 * @param image the whole image
 * @param digestSize of the repository's objects, in bytes
 * @param found gets the digests of the objects, one after the other, up to a megabyte of them at a time and the same
 *   maybe more than once. They are valid until it returns.
 * @returns digests of another length, in hex
 * @throws FormatError EROFS, with the offset; `found` may have been called before
 */
export function imageReferences(image: Buffer, digestSize: number, found: (digests: Buffer) => void): string[] {
  return new Walk(image, digestSize, found).run();
}

class Walk {
  readonly #image: Buffer;
  readonly #size: number;
  readonly #rootNid: number;
  readonly #xattrBase: number;
  /** One for each place where an inode may begin. */
  readonly #seen: Uint8Array;
  readonly #directories: number[] = [];
  readonly #found: (digests: Buffer) => void;
  readonly #part: Buffer;
  #length = 0;
  readonly #others: string[] = [];

  constructor(image: Buffer, digestSize: number, found: (digests: Buffer) => void) {
    const { rootNid, xattrBase } = readSuperblock(image);
    this.#image = image;
    this.#size = digestSize;
    this.#rootNid = rootNid;
    this.#xattrBase = xattrBase;
    this.#seen = new Uint8Array(Math.ceil(image.length / SLOT));
    this.#found = found;
    this.#part = Buffer.allocUnsafe(PART * digestSize);
  }

  run(): string[] {
    if (!this.#visit(this.#rootNid)) throw imageError('the root is no directory', this.#rootNid * SLOT);
    for (let nid = this.#directories.pop(); nid !== undefined; nid = this.#directories.pop()) this.#readDirectory(nid);
    this.#found(this.#part.subarray(0, this.#length));
    return this.#others;
  }

  /** Looks at an inode that was not met before. @returns whether it is a directory */
  #visit(nid: number): boolean {
    const image = this.#image;
    const at = nid * SLOT;
    if (at < FIRST_INODE || at + COMPACT_INODE.end > image.length) throw imageError('inode outside the image', at);
    const type = image.readUInt16LE(at + INODE.mode) & TYPE_MASK;
    const isDirectory = type === DIRECTORY;
    if (this.#seen[nid] !== 0) {
      if (isDirectory) throw imageError('a directory that occurs twice', at);
      return false;
    }
    this.#seen[nid] = 1;
    if (!KNOWN_TYPES.has(type)) throw imageError(`unknown file type in mode ${type.toString(8)}`, at);
    const format = image.readUInt16LE(at + INODE.format);
    const layout = format >> 1;
    if (layout !== LAYOUT_PLAIN && layout !== LAYOUT_INLINE && layout !== LAYOUT_CHUNKED)
      throw imageError(`unknown inode format ${format}`, at);
    const { start, end } = this.#xattrs(at);
    if (end > image.length) throw imageError('inode beyond the image', at);
    if (isDirectory) this.#directories.push(nid);
    if (layout === LAYOUT_CHUNKED) this.#readContent(start, end);
    return isDirectory;
  }

  /** Where the xattrs of an inode begin and end. */
  #xattrs(at: number): { start: number; end: number } {
    const image = this.#image;
    const start = at + (isExtended(image.readUInt16LE(at + INODE.format)) ? EXTENDED_INODE.end : COMPACT_INODE.end);
    return { start, end: start + xattrAreaSize(image.readUInt16LE(at + INODE.xattrCount)) };
  }

  #readDirectory(nid: number): void {
    const image = this.#image;
    const at = nid * SLOT;
    const format = image.readUInt16LE(at + INODE.format);
    const size =
      image.readUInt32LE(at + INODE.size) +
      (isExtended(format) ? image.readUInt32LE(at + INODE.size + 4) * 2 ** 32 : 0);
    if (size > EROFS_IMAGE_LIMIT) throw imageError(`directory of ${size} bytes`, at);
    const layout = format >> 1;
    if (layout === LAYOUT_CHUNKED) throw imageError('chunks on a directory', at);
    const tail = layout === LAYOUT_INLINE ? size % BLOCK : 0;
    const blocksAt = image.readUInt32LE(at + INODE.data) * BLOCK;
    const { end: tailAt } = this.#xattrs(at);
    if (size > tail && blocksAt + size - tail > image.length) throw imageError('directory beyond the image', at);
    if (tailAt + tail > image.length) throw imageError('directory beyond the image', at);
    for (let done = 0; done < size - tail; done += BLOCK)
      this.#readBlock(blocksAt + done, Math.min(BLOCK, size - tail - done));
    if (tail > 0) this.#readBlock(tailAt, tail);
  }

  #readBlock(start: number, length: number): void {
    const image = this.#image;
    if (length < DIRENT.end) throw imageError(`directory block of ${length} bytes`, start);
    const namesAt = image.readUInt16LE(start + DIRENT.nameOffset);
    if (namesAt === 0 || namesAt % DIRENT.end !== 0 || namesAt > length)
      throw imageError(`first name at ${namesAt} in its block`, start);
    for (let at = start; at < start + namesAt; at += DIRENT.end) {
      const from = image.readUInt16LE(at + DIRENT.nameOffset);
      const to = at + DIRENT.end === start + namesAt ? length : image.readUInt16LE(at + DIRENT.end + DIRENT.nameOffset);
      if (from < namesAt || to <= from || to > length) throw imageError(`name from ${from} to ${to} in its block`, at);
      if (this.#isDots(start + from, start + to)) continue;
      const nid = nidAt(image, at);
      if (this.#visit(nid) !== (image.readUInt8(at + DIRENT.type) === DIRECTORY_ENTRY))
        throw imageError('entry and inode disagree on the type', at);
    }
  }

  /** Whether a name is `.` or `..`; zeros may follow the last name of a block. */
  #isDots(from: number, to: number): boolean {
    const image = this.#image;
    if (image[from] !== 0x2e) return false;
    const end = from + (image[from + 1] === 0x2e && to > from + 1 ? 2 : 1);
    return end === to || image[end] === 0;
  }

  /** Takes down what the xattrs of a file without data lead to. */
  #readContent(start: number, end: number): void {
    const image = this.#image;
    if (end === start) throw imageError('file without data and without metacopy mark', start);
    const shared = image.readUInt8(start + XATTR_HEADER.sharedCount);
    const own = start + XATTR_HEADER.end + XATTR_REF_SIZE * shared;
    if (own > end) throw imageError(`${shared} shared xattrs in ${end - start} bytes`, start);
    const found = { metacopy: -1, redirect: -1 };
    for (let at = own; at < end; ) at = this.#readXattr(at, end, found);
    for (let ref = start + XATTR_HEADER.end; ref < own; ref += XATTR_REF_SIZE)
      this.#readXattr(this.#xattrBase + XATTR_UNIT * image.readUInt32LE(ref), image.length, found);
    if (found.metacopy < 0) throw imageError('file without data and without metacopy mark', start);
    const digest = this.#readMetacopy(found.metacopy);
    if (found.redirect >= 0) this.#readRedirect(found.redirect, digest);
  }

  /** Remembers where the marks are. @returns where the next xattr begins */
  #readXattr(at: number, end: number, found: { metacopy: number; redirect: number }): number {
    const image = this.#image;
    if (at + XATTR_ENTRY.end > end) throw imageError('xattr beyond its area', at);
    const nameLength = image.readUInt8(at + XATTR_ENTRY.nameLength);
    const index = image.readUInt8(at + XATTR_ENTRY.nameIndex);
    const nameAt = at + XATTR_ENTRY.end;
    const next = alignUp(nameAt + nameLength + image.readUInt16LE(at + XATTR_ENTRY.valueLength), XATTR_UNIT);
    if (next > end) throw imageError('xattr beyond its area', at);
    if (xattrPrefix(index) === undefined) throw imageError(`unknown xattr prefix ${index}`, at);
    if (index !== TRUSTED || nameLength !== METACOPY_NAME.length) return next;
    if (image.compare(METACOPY_NAME, 0, nameLength, nameAt, nameAt + nameLength) === 0) found.metacopy = at;
    else if (image.compare(REDIRECT_NAME, 0, nameLength, nameAt, nameAt + nameLength) === 0) found.redirect = at;
    return next;
  }

  /** @returns where the digest is, or -1 when the mark has none */
  #readMetacopy(at: number): number {
    const length = this.#image.readUInt16LE(at + XATTR_ENTRY.valueLength);
    if (length === 0) return -1;
    const head = at + XATTR_ENTRY.end + METACOPY_NAME.length;
    const size = length - METACOPY_VALUE.digest;
    if (
      (size !== 32 && size !== 64) ||
      this.#image[head + METACOPY_VALUE.version] !== 0 ||
      this.#image[head + METACOPY_VALUE.length] !== length
    )
      throw imageError('bad metacopy mark', at);
    if (size === this.#size) this.#add(this.#image, head + METACOPY_VALUE.digest);
    else this.#others.push(this.#image.toString('hex', head + METACOPY_VALUE.digest, head + length));
    return head + METACOPY_VALUE.digest;
  }

  #readRedirect(at: number, digest: number): void {
    const valueAt = at + XATTR_ENTRY.end + REDIRECT_NAME.length;
    if (digest >= 0 && this.#isPathOf(valueAt, this.#image.readUInt16LE(at + XATTR_ENTRY.valueLength), digest)) return;
    const path = this.#image.toString(
      'latin1',
      valueAt,
      valueAt + this.#image.readUInt16LE(at + XATTR_ENTRY.valueLength),
    );
    const match = PATH.exec(path);
    if (!match) {
      if (!path.startsWith('/') || path.includes('\0')) throw imageError('bad redirect path', at);
      return;
    }
    const id = `${match[1]}${match[2]}`;
    if (id.length !== 2 * this.#size) this.#others.push(id);
    else this.#add(Buffer.from(id, 'hex'), 0);
  }

  /**
   * Whether a path, `/`, two digits, `/`, the rest, is that of a digest: nearly always, and so without making strings.
   */
  #isPathOf(valueAt: number, length: number, digest: number): boolean {
    const image = this.#image;
    if (length !== 2 * this.#size + 2 || image[valueAt] !== SLASH || image[valueAt + 3] !== SLASH) return false;
    for (let i = 0, at = valueAt + 1; i < this.#size; i++, at += i === 1 ? 3 : 2) {
      const byte = image[digest + i] as number;
      if (image[at] !== HEX[byte >> 4] || image[at + 1] !== HEX[byte & 15]) return false;
    }
    return true;
  }

  #add(from: Buffer, at: number): void {
    if (this.#length === this.#part.length) {
      this.#found(this.#part);
      this.#length = 0;
    }
    this.#length += from.copy(this.#part, this.#length, at, at + this.#size);
  }
}
