import { showBytes, type ByteString } from '../bytes.js';
import { FormatError } from '../errors.js';
import { NAME_LIMIT, PATH_LIMIT } from '../limits.js';
import type { EntryType, TarEntry } from './entry.js';
import type { PaxRecords, PaxTime } from './pax.js';
import { signedField, unsignedField } from './tar-number.js';

/** Tar works in blocks of this many bytes: a header is one, content is padded to whole ones. */
export const BLOCK_SIZE = 512;

/**
 * Header fields as [offset, length] in the block; the layout of POSIX ustar, which V7 and GNU share up to `linkname`.
 */
const NAME = [0, 100] as const;
const MODE = [100, 8] as const;
const UID = [108, 8] as const;
const GID = [116, 8] as const;
const SIZE = [124, 12] as const;
const MTIME = [136, 12] as const;
const CHECKSUM = [148, 8] as const;
export const TYPE_OFFSET = 156;
const LINK_NAME = [157, 100] as const;
const MAGIC_OFFSET = 257;
const DEV_MAJOR = [329, 8] as const;
const DEV_MINOR = [337, 8] as const;
const PREFIX = [345, 155] as const;
/** Of GNU headers, which have no prefix. */
const GNU_ATIME = [345, 12] as const;
const GNU_MAGIC = 'ustar  \0';

const MAX_ID = 0xffff_ffff;
const LONG_NAME = new RegExp(`[^/]{${NAME_LIMIT + 1}}`);
const NO_XATTRS: ReadonlyMap<ByteString, ByteString> = new Map();

/** One character per entry type; NUL and 7 (contiguous) are files like 0. */
const ENTRY_TYPES: Readonly<Record<string, EntryType>> = {
  '\0': 'file',
  '0': 'file',
  '1': 'hardlink',
  '2': 'symlink',
  '3': 'char',
  '4': 'block',
  '5': 'directory',
  '6': 'fifo',
  '7': 'file',
};

/** Records that came before a header and speak about the same entry. */
export interface Extensions {
  /** GNU `L` */
  longName?: ByteString;
  /** GNU `K` */
  longLink?: ByteString;
  /** PAX `x` */
  pax?: PaxRecords;
}

/**
 * Checks the header block at `at`.
 * @returns false for a block of zeros, which marks the end of the archive
 * @throws FormatError when the checksum is wrong
 */
export function checkHeader(block: Buffer, at: number, offset: number): boolean {
  let sum = 0;
  for (let i = at; i < at + BLOCK_SIZE; i++) sum += block[i]!;
  if (sum === 0) return false;
  // The checksum was taken with its own field full of spaces.
  for (let i = at + CHECKSUM[0]; i < at + CHECKSUM[0] + CHECKSUM[1]; i++) sum += 0x20 - block[i]!;
  const expected = unsignedField(block, at + CHECKSUM[0], CHECKSUM[1]);
  if (expected !== sum && expected !== signedSum(block, at, sum)) {
    throw new FormatError('TAR_CHECKSUM', 'not a tar header: wrong checksum', { place: { offset } });
  }
  return true;
}

/** Some old programs added up signed characters. */
function signedSum(block: Buffer, at: number, unsigned: number): number {
  let sum = unsigned;
  for (let i = 0; i < BLOCK_SIZE; i++) {
    const isChecksum = i >= CHECKSUM[0] && i < CHECKSUM[0] + CHECKSUM[1];
    if (!isChecksum && block[at + i]! >= 0x80) sum -= 0x100;
  }
  return sum;
}

/** The type of a header; extension records are told from entries by it. Types of V7 headers are never extensions. */
export function headerType(block: Buffer, at: number): string {
  return String.fromCharCode(block[at + TYPE_OFFSET]!);
}

/** True for ustar, PAX and GNU headers, false for V7. */
export function hasMagic(block: Buffer, at: number): boolean {
  return isUstar(block, at) || isGnu(block, at);
}

function isGnu(block: Buffer, at: number): boolean {
  // Most are not, and this costs less than a string.
  return (
    block[at + MAGIC_OFFSET + 5] === 0x20 &&
    block.toString('latin1', at + MAGIC_OFFSET, at + MAGIC_OFFSET + GNU_MAGIC.length) === GNU_MAGIC
  );
}

function isUstar(block: Buffer, at: number): boolean {
  // The blank of GNU's magic stands where ustar has its NUL.
  const magic = at + MAGIC_OFFSET;
  return block[magic] === 0x75 && block[magic + 5] === 0 && block.toString('latin1', magic, magic + 5) === 'ustar';
}

/** Bytes that follow a header before the padding, as the header itself says. */
export function headerSize(block: Buffer, at: number, offset: number): number {
  return number(block, at, SIZE, 'size', Number.MAX_SAFE_INTEGER, offset);
}

/**
 * What a checked header, with the records before it, says about one file. PAX records win over GNU ones, GNU ones over
 * the header.
 * @param block holds the header at `at`
 * @param offset where the entry's first block is in the tar
 * @throws FormatError for types that are not files of a file tree, bad numbers, an empty name or link target
 */
export function parseEntry(block: Buffer, at: number, extensions: Extensions, offset: number): TarEntry {
  const { pax } = extensions;
  const path = pax?.path ?? extensions.longName ?? headerPath(block, at);
  if (path === '') throw new FormatError('TAR_NAME', 'tar entry without a name', { place: { offset } });
  checkLength('name', path, path, offset);
  if (path.length > NAME_LIMIT && LONG_NAME.test(path))
    throw tooLong(`name has a part of more than ${NAME_LIMIT} bytes`, path, offset);
  const type = entryType(block, at, path, offset);
  const announced = pax?.size ?? headerSize(block, at, offset);
  // As for Go's tar, and so for podman: what follows a link or a folder is the next header, whatever size it names.
  const size = type === 'file' ? announced : 0;
  let linkPath = '';
  if (type === 'symlink' || type === 'hardlink') {
    linkPath = pax?.linkPath ?? extensions.longLink ?? text(block, at, LINK_NAME);
    if (linkPath === '') throw bad(`${type} without a target`, path, offset);
    checkLength('target', linkPath, path, offset);
  }
  const isDevice = type === 'char' || type === 'block';
  const mtimeSec = pax?.mtimeSec ?? signedField(block, at + MTIME[0], MTIME[1]);
  if (mtimeSec === undefined) throw bad('bad mtime', path, offset);
  const uid = pax?.uid ?? number(block, at, UID, 'uid', MAX_ID, offset);
  const gid = pax?.gid ?? number(block, at, GID, 'gid', MAX_ID, offset);
  if (uid > MAX_ID || gid > MAX_ID) throw bad('uid or gid of more than 32 bits', path, offset);
  const atime = pax?.atime ?? gnuAtime(block, at);
  return {
    path,
    type,
    mode: number(block, at, MODE, 'mode', Number.MAX_SAFE_INTEGER, offset) % 0o10000,
    uid,
    gid,
    size,
    mtimeSec,
    mtimeNsec: pax?.mtimeNsec ?? 0,
    ...(atime === undefined ? undefined : { atime }),
    linkPath,
    devMajor: isDevice ? number(block, at, DEV_MAJOR, 'device number', MAX_ID, offset) : 0,
    devMinor: isDevice ? number(block, at, DEV_MINOR, 'device number', MAX_ID, offset) : 0,
    xattrs: pax?.xattrs ?? NO_XATTRS,
    offset,
  };
}

function gnuAtime(block: Buffer, at: number): PaxTime | undefined {
  if (block[at + GNU_ATIME[0]] === 0 || !isGnu(block, at)) return undefined;
  const sec = signedField(block, at + GNU_ATIME[0], GNU_ATIME[1]);
  return sec === undefined ? undefined : { sec, nsec: 0 };
}

function entryType(block: Buffer, at: number, path: ByteString, offset: number): EntryType {
  const flag = headerType(block, at);
  // V7 has no type for directories.
  if (flag === '\0' && path.endsWith('/')) return 'directory';
  const type = ENTRY_TYPES[flag];
  if (type !== undefined) return type;
  if (flag === 'S')
    throw new FormatError('TAR_SPARSE', 'sparse files in a tar are not supported; pack the layer without --sparse', {
      place: { entry: showBytes(path), offset },
    });
  throw new FormatError('TAR_TYPE', `tar entry of unsupported type "${showBytes(flag)}"`, {
    place: { entry: showBytes(path), offset },
  });
}

/** The names that a header without extension records has; the header is not checked. */
export function linkNames(block: Buffer, at: number): { path: ByteString; linkPath: ByteString } {
  return { path: headerPath(block, at), linkPath: text(block, at, LINK_NAME) };
}

/**
 * Bytes of records that follow the header at `at`, which speak of another; undefined for an entry's own header. It is
 * not checked.
 */
export function extensionSize(block: Buffer, at: number): number | undefined {
  const type = headerType(block, at);
  if (type !== 'g' && !((type === 'x' || type === 'L' || type === 'K') && hasMagic(block, at))) return undefined;
  return unsignedField(block, at + SIZE[0], SIZE[1]) ?? 0;
}

/**
 * With paths of any length a small archive has names of gigabytes: each entry repeats those of all folders above it,
 * and compresses to nothing.
 */
function checkLength(what: string, text: ByteString, path: ByteString, offset: number): void {
  const bytes = text.endsWith('/') ? text.length - 1 : text.length;
  if (bytes > PATH_LIMIT) throw tooLong(`${what} has ${bytes} bytes, at most ${PATH_LIMIT} are accepted`, path, offset);
}

function tooLong(what: string, path: ByteString, offset: number): FormatError {
  return new FormatError('TAR_NAME', `the tar entry's ${what}`, {
    place: { entry: showBytes(path.slice(0, NAME_LIMIT)), offset },
  });
}

function headerPath(block: Buffer, at: number): ByteString {
  const name = text(block, at, NAME);
  if (block[at + PREFIX[0]] === 0 || !isUstar(block, at)) return name;
  return `${text(block, at, PREFIX)}/${name}`;
}

/** Text ends at the first NUL or with its field. */
function text(block: Buffer, at: number, [start, length]: readonly [number, number]): ByteString {
  const from = at + start;
  let to = from;
  while (to < from + length && block[to] !== 0) to++;
  return to === from ? '' : block.toString('latin1', from, to);
}

function number(
  block: Buffer,
  at: number,
  [start, length]: readonly [number, number],
  field: string,
  max: number,
  offset: number,
): number {
  const value = unsignedField(block, at + start, length);
  if (!(value <= max)) throw new FormatError('TAR_NUMBER', `tar header with a bad ${field}`, { place: { offset } });
  return value;
}

function bad(what: string, path: ByteString, offset: number): FormatError {
  return new FormatError('TAR_ENTRY', `tar entry: ${what}`, { place: { entry: showBytes(path), offset } });
}
