import { showBytes, type ByteString } from '../../bytes.js';
import { FormatError } from '../../errors.js';
import { EROFS_IMAGE_LIMIT } from '../../limits.js';
import {
  DEPTH_MAX,
  Device,
  Directory,
  EMPTY,
  Regular,
  Special,
  Symlink,
  type Content,
  type Leaf,
  type Node,
  type Xattrs,
} from '../../tree/tree.js';
import { Extents } from './extents.js';
import {
  BLOCK,
  BLOCK_BITS,
  CHUNK_FORMAT,
  CHUNK_INDEX_SIZE,
  DIRENT_TYPE,
  INLINE_MAX,
  LAYOUT_CHUNKED,
  SLOT,
  SYMLINK_MAX,
  alignUp,
} from '../format/format.js';
import { imageError } from './image-error.js';
import type { ErofsVersion, Writer } from '../format/options.js';
import { readDirents } from './directory.js';
import { bodyOf, metadataOf, readInode, type Body, type RawInode } from './inode.js';
import { isEscapedWhiteout, ON_WHITEOUT, originalXattrs, outsideContent, whiteoutParentMarks } from './overlay.js';
import { readSuperblock, type Superblock } from './superblock.js';
import { XattrReader } from './xattrs.js';

/** What is in an image. */
export interface ErofsImage {
  version: ErofsVersion;
  /** The tree it was written from, without what composefs adds for overlayfs. */
  root: Directory;
}

/** What an image says about an inode and a tree does not. */
export interface StoredInode {
  /** Bytes, for a directory those of its entries. */
  size: bigint;
  links: number;
}

export interface ReadOptions {
  /**
   * Whose tree comes out where the readers of the two programs differ. That of the C library keeps the marks
   * `trusted.overlay.opaque=x` and `user.overlay.opaque=x` of directories with whiteouts, and has no NUL behind names
   * of xattrs. Default `composefs-rs`.
   */
  writer?: Writer;
  /** Gets what the image says about each node of the tree. */
  stored?: Map<Node, StoredInode>;
}

/**
 * Reads a composefs image back into the tree it was written from. Every offset and count is checked, each byte belongs
 * to one inode at most, and time and memory are in proportion to the image's length. An inode with several names is
 * owned by the first in depth-first order; its link count is kept where it is not the number of its names.
 * @param image the whole image; not referred to afterwards
 * @throws FormatError EROFS, with the offset and the directory
 * @example
 * ```ts
 * import { readFileSync } from 'node:fs';
 * import { printDump, readErofs } from 'composefs-bridge';
 *
 * const { version, root } = readErofs(readFileSync('image.cfs'));
 * console.log(version, [...root.entries.keys()]); // 1 [ 'greeting', 'tool' ]
 * for (const lines of printDump(root)) process.stderr.write(lines);
 * ```
 */
export function readErofs(image: Buffer, options: ReadOptions = {}): ErofsImage {
  const superblock = readSuperblock(image);
  return { version: superblock.version, root: new ImageReader(image, superblock, options).read() };
}

/** A directory whose entries are still to be read. */
interface Pending {
  directory: Directory;
  inode: RawInode;
  body: Body;
  xattrs: Xattrs;
  parentNid: number;
  path: ByteString;
  depth: number;
}

/** A leaf and how many names of it were seen; undefined for the whiteouts that composefs adds. */
interface KnownLeaf {
  /** In the image, where whiteouts are files. */
  kind: RawInode['kind'];
  links: number;
  leaf: Leaf | undefined;
  names: number;
}

class ImageReader {
  readonly #extents: Extents;
  readonly #xattrs: XattrReader;
  readonly #leaves = new Map<number, KnownLeaf>();
  readonly #pending: Pending[] = [];
  #inodes = 0n;
  readonly #image: Buffer;
  readonly #superblock: Superblock;
  readonly #options: ReadOptions;

  constructor(image: Buffer, superblock: Superblock, options: ReadOptions) {
    this.#image = image;
    this.#superblock = superblock;
    this.#options = options;
    this.#extents = new Extents(image.length);
    this.#xattrs = new XattrReader(image, superblock.xattrBase, options.writer ?? 'composefs-rs');
  }

  read(): Directory {
    const { rootNid } = this.#superblock;
    const inode = readInode(this.#image, this.#superblock, rootNid);
    if (inode.kind !== 'directory') throw imageError('the root is no directory', inode.at);
    const root = this.#addDirectory(inode, rootNid, '', 0);
    for (let next = this.#pending.pop(); next !== undefined; next = this.#pending.pop()) {
      try {
        this.#readDirectory(next);
      } catch (error) {
        if (!(error instanceof FormatError) || error.place.entry !== undefined) throw error;
        const entry = showBytes(next.path.slice(0, 300)) || '/';
        throw new FormatError('EROFS_IMAGE', `broken image: ${error.message}`, { place: { entry }, cause: error });
      }
    }
    this.#xattrs.checkShared();
    for (const { leaf, names, links } of this.#leaves.values())
      if (leaf !== undefined && links !== names) leaf.nlink = links;
    if (this.#inodes !== this.#superblock.inodes) {
      throw imageError(`${this.#inodes} inodes instead of ${this.#superblock.inodes}`, 0);
    }
    return root;
  }

  #addDirectory(inode: RawInode, parentNid: number, path: ByteString, depth: number): Directory {
    if (depth > DEPTH_MAX) throw imageError(`directories are nested deeper than ${DEPTH_MAX}`, inode.at);
    const body = bodyOf(inode, EROFS_IMAGE_LIMIT);
    this.#claim(inode, body.tailLength, body);
    const xattrs = this.#xattrs.read(inode);
    const directory = new Directory(metadataOf(inode, xattrs));
    this.#options.stored?.set(directory, { size: inode.size, links: inode.links });
    this.#pending.push({ directory, inode, body, xattrs, parentNid, path, depth });
    this.#inodes += 1n;
    return directory;
  }

  #readDirectory(place: Pending): void {
    const { directory, inode, body, parentNid, path, depth } = place;
    let dots = 0;
    let subdirectories = 0;
    let whiteouts = 0;
    let stubs = 0;
    for (const { name, nid, type, at } of readDirents(this.#image, body)) {
      if (name === '.' || name === '..') {
        if (nid !== (name === '.' ? inode.nid : parentNid) || type !== DIRENT_TYPE.directory)
          throw imageError(`wrong "${name}"`, at);
        dots++;
        continue;
      }
      const child = this.#leaves.get(nid) ?? readInode(this.#image, this.#superblock, nid);
      if (type !== DIRENT_TYPE[child.kind])
        throw imageError(`entry and inode disagree on the type of "${showBytes(name)}"`, at);
      if (depth === 0 && STUB_NAME.test(name)) stubs++;
      if ('at' in child && child.kind === 'directory') {
        subdirectories++;
        directory.entries.set(name, this.#addDirectory(child, inode.nid, `${path}/${name}`, depth + 1));
        continue;
      }
      const leaf = 'at' in child ? this.#addLeaf(child, depth === 0 && STUB_NAME.test(name)) : child;
      leaf.names++;
      if (leaf.leaf === undefined) {
        if (leaf.names > 1) throw imageError(`a second name for the whiteout "${name}"`, at);
        continue;
      }
      if (this.#superblock.version !== 2 && leaf.leaf.kind === 'char' && leaf.leaf.rdev === 0) whiteouts++;
      directory.entries.set(name, leaf.leaf);
    }
    if (dots !== 2) throw imageError('"." or ".." is missing', inode.at);
    if (inode.links !== 2 + subdirectories)
      throw imageError(`${inode.links} links for ${subdirectories} subdirectories`, inode.at);
    if (depth === 0 && this.#superblock.version !== 2 && stubs !== 256)
      throw imageError(`${stubs} of the root's 256 whiteouts`, inode.at);
    directory.xattrs = originalXattrs(
      place.xattrs,
      whiteouts > 0 ? whiteoutParentMarks(this.#superblock.version, this.#options.writer) : [],
    );
  }

  #addLeaf(inode: RawInode, mayBeStub: boolean): KnownLeaf {
    const known: KnownLeaf = { kind: inode.kind, links: inode.links, leaf: this.#readLeaf(inode, mayBeStub), names: 0 };
    this.#leaves.set(inode.nid, known);
    if (known.leaf !== undefined) this.#options.stored?.set(known.leaf, { size: inode.size, links: inode.links });
    this.#inodes += 1n;
    return known;
  }

  #readLeaf(inode: RawInode, mayBeStub: boolean): Leaf | undefined {
    const { version } = this.#superblock;
    const raw = this.#xattrs.read(inode);
    const metadata = metadataOf(inode, originalXattrs(raw, []));
    if (inode.kind === 'regular') {
      if (version !== 2 && isEscapedWhiteout(inode, raw)) {
        this.#claim(inode, 0);
        return new Device(metadataOf(inode, originalXattrs(raw, ON_WHITEOUT)), 'char', 0);
      }
      return new Regular(metadata, this.#readContent(inode, raw));
    }
    if (inode.kind === 'symlink') {
      const target = this.#readBody(inode, SYMLINK_MAX[version]).toString('latin1');
      if (target === '' || target.includes('\0')) throw imageError('bad symlink target', inode.at);
      return new Symlink(metadata, target);
    }
    if (inode.size !== 0n) throw imageError(`a ${inode.kind} of ${inode.size} bytes`, inode.at);
    this.#claim(inode, 0);
    if (inode.kind === 'fifo' || inode.kind === 'socket') return new Special(metadata, inode.kind);
    if (inode.kind === 'char' && inode.data === 0 && version !== 2) {
      if (!mayBeStub) throw imageError('a whiteout that overlayfs would obey', inode.at);
      return undefined;
    }
    return new Device(metadata, inode.kind === 'char' ? 'char' : 'block', inode.data);
  }

  #readContent(inode: RawInode, xattrs: Xattrs): Content {
    if (inode.layout === LAYOUT_CHUNKED) {
      const content = outsideContent(inode, xattrs);
      this.#checkChunks(inode, content);
      return content;
    }
    if (inode.size === 0n) {
      this.#claim(inode, 0);
      return EMPTY;
    }
    return { kind: 'inline', bytes: this.#readBody(inode, INLINE_MAX[this.#superblock.version]) };
  }

  /** The chunk indexes have to say that the image has no data. */
  #checkChunks(inode: RawInode, content: Content): void {
    const start = inode.xattrsAt + inode.xattrSize;
    let count = content.kind === 'object' || (content.kind === 'external' && content.digest !== undefined) ? 1 : 0;
    if (this.#superblock.version !== 2) {
      const bits = BigInt(BLOCK_BITS + (inode.data & CHUNK_FORMAT.blockBits));
      const chunks = (inode.size + (1n << bits) - 1n) >> bits;
      if (chunks > 1024n || (inode.data & CHUNK_FORMAT.unknown) !== 0)
        throw imageError(`bad chunk format ${inode.data}`, inode.at);
      count = Number(chunks);
    }
    // Indexes that have no room beside the inode are in a block of their own, which only enormous files have.
    const inside = this.#superblock.version === 2 || (start % BLOCK) + CHUNK_INDEX_SIZE * count <= BLOCK;
    this.#claim(inode, inside ? CHUNK_INDEX_SIZE * count : 0);
    if (inside && this.#image.subarray(start, start + CHUNK_INDEX_SIZE * count).some((byte) => byte !== 0xff)) {
      throw imageError('a file with data in chunks', inode.at);
    }
  }

  #readBody(inode: RawInode, most: number): Buffer {
    const body = bodyOf(inode, most);
    this.#claim(inode, body.tailLength, body);
    const { blocksAt, blocksLength, tailAt, tailLength } = body;
    return Buffer.concat([
      this.#image.subarray(blocksAt, blocksAt + blocksLength),
      this.#image.subarray(tailAt, tailAt + tailLength),
    ]);
  }

  /**
   * Takes the bytes of an inode, its xattrs and its data. An inode that is met twice, as a directory in a loop is,
   * fails.
   */
  #claim(inode: RawInode, tailLength: number, body?: Body): void {
    this.#extents.claim(inode.at, inode.xattrsAt + inode.xattrSize + tailLength - inode.at, `inode ${inode.at / SLOT}`);
    if (body !== undefined && body.blocksLength > 0) {
      this.#extents.claim(body.blocksAt, alignUp(body.blocksLength, BLOCK), `data of inode ${inode.at / SLOT}`);
    }
  }
}

const STUB_NAME = /^[0-9a-f]{2}$/;
