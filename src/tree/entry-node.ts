// The inode that a tar entry describes.
import { showBytes } from '../bytes.js';
import type { FormatErrorCode } from '../error-codes.js';
import { FormatError } from '../errors.js';
import type { TarEntry } from '../layer/entry.js';
import type { ObjectId } from '../fsverity/object-id.js';
import {
  Device,
  Directory,
  EMPTY,
  NO_XATTRS,
  Regular,
  Special,
  Symlink,
  type Content,
  type Metadata,
  type Node,
} from './tree.js';

/** Where the bytes of a regular file went; their number is the entry's `size`. */
export type FileContent = { kind: 'empty' } | { kind: 'inline'; bytes: Buffer } | { kind: 'object'; id: ObjectId };

const MAX_ID = 0xffff_ffff;
const MAX_TIME = 2n ** 63n - 1n;

/** @throws FormatError LAYER_DEVICE, LAYER_CONTENT, LAYER_PATH for a symlink's target */
export function nodeOf(entry: TarEntry & { type: Exclude<TarEntry['type'], 'hardlink'> }, content: FileContent): Node {
  switch (entry.type) {
    case 'file':
      return new Regular(metadataOf(entry), contentOf(entry, content));
    case 'directory':
      return new Directory(metadataOf(entry));
    case 'symlink':
      return symlinkOf(entry);
    case 'char':
    case 'block':
      return new Device(metadataOf(entry), entry.type, deviceNumber(entry));
    case 'fifo':
      return new Special(metadataOf(entry), 'fifo');
  }
}

/** Owners are cut to 32 bits. */
export function metadataOf(entry: TarEntry): Metadata {
  // As nearly all are. The inode takes what it needs.
  if (
    entry.mode <= 0o7777 &&
    entry.uid <= MAX_ID &&
    entry.gid <= MAX_ID &&
    entry.mtimeSec >= 0n &&
    entry.mtimeSec <= MAX_TIME &&
    entry.xattrs.size === 0
  )
    return entry;
  return {
    mode: entry.mode & 0o7777,
    uid: entry.uid >>> 0,
    gid: entry.gid >>> 0,
    mtimeSec: BigInt.asIntN(64, entry.mtimeSec),
    mtimeNsec: entry.mtimeNsec,
    xattrs: entry.xattrs.size > 0 ? entry.xattrs : NO_XATTRS,
  };
}

function contentOf(entry: TarEntry, content: FileContent): Content {
  switch (content.kind) {
    case 'empty':
      if (entry.size !== 0) throw problem('LAYER_CONTENT', `${entry.size} bytes of content are missing`, entry);
      return EMPTY;
    case 'inline':
      if (entry.size !== content.bytes.length) {
        throw problem('LAYER_CONTENT', `content has ${content.bytes.length} bytes instead of ${entry.size}`, entry);
      }
      return entry.size === 0 ? EMPTY : content;
    case 'object':
      return { kind: 'object', id: content.id, size: BigInt(entry.size) };
  }
}

function symlinkOf(entry: TarEntry): Symlink {
  if (entry.linkPath === '' || entry.linkPath.length > 4095 || entry.linkPath.includes('\0')) {
    throw problem('LAYER_PATH', 'a symlink target has 1 to 4095 bytes, none of them NUL', entry);
  }
  return new Symlink(metadataOf(entry), entry.linkPath);
}

/** The kernel's 32-bit encoding: 12 bits of major number in the middle of 20 bits of minor number. */
export function deviceNumber(entry: TarEntry): number {
  const { devMajor: major, devMinor: minor } = entry;
  if (major < 0 || major > 0xfff || minor < 0 || minor > 0xfffff) {
    throw problem('LAYER_DEVICE', `device number ${major}:${minor} does not fit 12:20 bits`, entry);
  }
  return ((minor & 0xff) | (major << 8) | ((minor & 0xfff00) << 12)) >>> 0;
}

export function problem(code: FormatErrorCode, message: string, entry: TarEntry): FormatError {
  return new FormatError(code, message, { place: { entry: showBytes(entry.path), offset: entry.offset } });
}
