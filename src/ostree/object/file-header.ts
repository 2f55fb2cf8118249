// What stands before a file's content. There are two forms, each with its length in front:
//
//   u32 BE length, 4 zero bytes, (uuuusa(ayay))    uid gid mode rdev target xattrs; with the content behind it this is
//                                                  what the id of a file is the digest of
//   u32 BE length, 4 zero bytes, (tuuuusa(ayay))   size of the content, and the same; the beginning of a .filez and, in
//                                                  a commit stream, of every file
//
// Numbers are big-endian. A commit has one for each file, which is why they are read and written here without the help
// of a GVariant codec; a test compares.
import { isUtf8 } from 'node:buffer';
import { showBytes, type ByteString } from '../../bytes.js';
import { FormatError } from '../../errors.js';
import type { Xattrs } from '../../tree/tree.js';
import { OSTREE_HEADER_LIMIT, PATH_LIMIT } from '../../limits.js';
import { offsetWidth } from '../gvariant/frame.js';
import { isOfType, S_IFLNK, S_IFREG } from './mode.js';
import { encodeXattrs, readXattrs } from './xattrs.js';

/** Bytes of the length and the zeros after it. */
const HEADER_PREFIX = 8;
const BEHIND_SIZE = HEADER_PREFIX + 8;
const NUMBERS = 16;
/** So many are remembered. */
const KNOWN_HEADERS = 1024;

/** What a file has besides its content. */
export interface FileHeader {
  readonly uid: number;
  readonly gid: number;
  /** with the type, a regular file's or a symlink's: 0100644 */
  readonly mode: number;
  /** of a symlink; empty for a regular file */
  readonly target: ByteString;
  readonly xattrs: Xattrs;
}

/** A file header as a commit stream has it. */
export interface SizedHeader {
  readonly header: FileHeader;
  /** bytes of the content; outside of the id: to be compared with the content */
  readonly size: bigint;
  /** of the header with what stands before it: where the content begins */
  readonly length: number;
}

export function isSymlink(header: Pick<FileHeader, 'mode'>): boolean {
  return isOfType(header.mode, S_IFLNK);
}

/**
 * How long the header of a .filez is, with its prefix.
 * @param prefix at least its first 8 bytes
 * @throws FormatError when it is cut or longer than any
 */
export function headerLength(prefix: Buffer): number {
  if (prefix.length < HEADER_PREFIX) throw new FormatError('OSTREE_OBJECT', 'a file ends in the length of its header');
  const length = prefix.readUInt32BE();
  if (length > OSTREE_HEADER_LIMIT)
    throw new FormatError(
      'OSTREE_OBJECT',
      `a file has a header of ${length} bytes, at most ${OSTREE_HEADER_LIMIT} are read`,
    );
  return HEADER_PREFIX + length;
}

/**
 * Reads the header of a .filez, or of a file in a commit stream.
 * @param bytes the header with its prefix, and whatever comes after it
 * @throws FormatError for what is no header of a regular file or symlink, and for one in another form than ostree
 *   writes: no digest covers it
 */
export function parseSizedHeader(bytes: Buffer): SizedHeader {
  const length = headerLength(bytes);
  if (bytes.length < length) throw new FormatError('OSTREE_OBJECT', 'a file ends in its header');
  const body = bytes.subarray(HEADER_PREFIX, length);
  if (body.length < 8) throw new FormatError('OSTREE_OBJECT', 'a file has a header that is too short');
  const header = parseBody(body, 8);
  const size = body.readBigUInt64BE();
  if (size > 0n && isSymlink(header))
    throw new FormatError('OSTREE_OBJECT', `a symlink says that it has ${size} bytes of content`);
  if (!encodeSizedHeader(header, size).equals(bytes.subarray(0, length)))
    throw new FormatError('OSTREE_OBJECT', 'a file has a header that is not in normal form');
  return { header, size, length };
}

/** Reads many headers. Those of a commit's files are few, apart from the sizes: each is parsed once. */
export class HeaderReader {
  /** Of regular files, by what comes behind the size. */
  readonly #known = new Map<string, KnownHeader>();
  /** Files beside each other mostly have the same. */
  #last: KnownHeader | undefined;

  /**
   * @param start where it begins
   * @param end of what there is
   * @throws FormatError as `parseSizedHeader`
   */
  read(bytes: Buffer, start = 0, end = bytes.length): SizedHeader {
    if (this.#last !== undefined && isSame(this.#last.bytes, bytes, start, end)) return sized(this.#last, bytes, start);
    const part = bytes.subarray(start, end);
    const length = headerLength(part);
    const rest = part.toString('latin1', BEHIND_SIZE, length);
    const known = this.#known.get(rest);
    if (known !== undefined && isSame(known.bytes, bytes, start, end)) {
      this.#last = known;
      return sized(known, bytes, start);
    }
    const parsed = parseSizedHeader(part);
    if (this.#known.size < KNOWN_HEADERS && !isSymlink(parsed.header))
      this.#known.set(rest, { header: parsed.header, bytes: Buffer.from(part.subarray(0, length)) });
    return parsed;
  }
}

interface KnownHeader {
  readonly header: FileHeader;
  /** with some size */
  readonly bytes: Buffer;
}

function sized({ header, bytes: known }: KnownHeader, bytes: Buffer, start: number): SizedHeader {
  return { header, size: bytes.readBigUInt64BE(start + HEADER_PREFIX), length: known.length };
}

/** Whether a known header is what begins at `start`, but for the size. */
function isSame(known: Buffer, bytes: Buffer, start: number, end: number): boolean {
  if (end - start < known.length) return false;
  for (let i = 0; i < HEADER_PREFIX; i++) if (known[i] !== bytes[start + i]) return false;
  for (let i = BEHIND_SIZE; i < known.length; i++) if (known[i] !== bytes[start + i]) return false;
  return true;
}

/** A header in both forms, for files of any size. */
export class EncodedHeader {
  /** as it is hashed, with its prefix */
  readonly hashed: Buffer;
  readonly #sized: Buffer;

  constructor(header: FileHeader) {
    this.hashed = encodeHeader(header);
    this.#sized = encodeSizedHeader(header, 0n);
  }

  /** As it is in commit streams, with its prefix; valid until this is called again. @param size bytes of the content */
  sized(size: number): Buffer {
    this.#sized.writeBigUInt64BE(BigInt(size), HEADER_PREFIX);
    return this.#sized;
  }
}

/** Writes many headers. Each of those that a `HeaderReader` gives again and again is encoded once. */
export class HeaderWriter {
  readonly #known = new Map<FileHeader, EncodedHeader>();

  encoded(header: FileHeader): EncodedHeader {
    const known = this.#known.get(header);
    if (known !== undefined) return known;
    const encoded = new EncodedHeader(header);
    if (this.#known.size < KNOWN_HEADERS) this.#known.set(header, encoded);
    return encoded;
  }
}

/** The header as it is hashed, with its prefix. */
export function encodeHeader(header: FileHeader): Buffer {
  return encode(header, undefined);
}

/** The header as it is in a .filez and in commit streams, with its prefix. @param size bytes of the content */
export function encodeSizedHeader(header: FileHeader, size: bigint): Buffer {
  return encode(header, size);
}

/** @throws FormatError for a file that ostree cannot have */
function checkHeader({ mode, target }: FileHeader): void {
  if (isOfType(mode, S_IFREG)) {
    if (target !== '') throw new FormatError('OSTREE_OBJECT', 'a regular file has the target of a symlink');
  } else if (!isOfType(mode, S_IFLNK)) {
    throw new FormatError('OSTREE_OBJECT', `a file has mode 0${mode.toString(8)}, which is no file's and no symlink's`);
  } else if (target === '' || target.length > PATH_LIMIT || target.includes('\0')) {
    throw new FormatError('OSTREE_OBJECT', `a symlink has the target "${showBytes(target.slice(0, 80))}"`);
  }
}

/** @param at where the numbers begin */
function parseBody(body: Buffer, at: number): FileHeader {
  const text = at + NUMBERS;
  const width = offsetWidth(body.length);
  const table = body.length - width;
  if (table <= text) throw new FormatError('OSTREE_OBJECT', 'a file has a header that is too short');
  const end = body.readUIntLE(table, width);
  if (end <= text || end > table || body.indexOf(0, text) !== end - 1)
    throw new FormatError('OSTREE_OBJECT', `a file has a header with offset ${end} in ${table} bytes`);
  const target = body.subarray(text, end - 1);
  if (!isUtf8(target)) throw new FormatError('OSTREE_OBJECT', 'a symlink has a target that is not UTF-8');
  const rdev = body.readUInt32BE(at + 12);
  if (rdev !== 0) throw new FormatError('OSTREE_OBJECT', `a file has device number ${rdev}`);
  const header = {
    uid: body.readUInt32BE(at),
    gid: body.readUInt32BE(at + 4),
    mode: body.readUInt32BE(at + 8),
    target: target.toString('latin1'),
    xattrs: readXattrs(body.subarray(end, table)),
  };
  checkHeader(header);
  return header;
}

function encode({ uid, gid, mode, target, xattrs }: FileHeader, size: bigint | undefined): Buffer {
  const pairs = encodeXattrs(xattrs);
  const numbers = HEADER_PREFIX + (size === undefined ? 0 : 8);
  const text = numbers + NUMBERS;
  const end = text + target.length + 1;
  const content = end + pairs.length;
  const width = widthFor(content - HEADER_PREFIX);
  const bytes = Buffer.alloc(content + width);
  bytes.writeUInt32BE(bytes.length - HEADER_PREFIX);
  if (size !== undefined) bytes.writeBigUInt64BE(size, HEADER_PREFIX);
  bytes.writeUInt32BE(uid, numbers);
  bytes.writeUInt32BE(gid, numbers + 4);
  bytes.writeUInt32BE(mode, numbers + 8);
  bytes.write(target, text, 'latin1');
  bytes.set(pairs, end);
  bytes.writeUIntLE(end - HEADER_PREFIX, content, width);
  return bytes;
}

/** Of the one offset, for the length without it. */
function widthFor(length: number): 1 | 2 | 4 {
  if (length + 1 <= 0xff) return 1;
  return length + 2 <= 0xffff ? 2 : 4;
}
