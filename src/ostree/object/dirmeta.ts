import { FormatError } from '../../errors.js';
import type { Xattrs } from '../../tree/tree.js';
import { encodeVariant } from '../gvariant/encode.js';
import { parseType } from '../gvariant/type.js';
import { Variant } from '../gvariant/variant.js';
import { isOfType, S_IFDIR, S_IFLNK, S_IFREG } from './mode.js';
import { encodeXattrs, parseXattrs } from './xattrs.js';

const TYPE = parseType('(uuua(ayay))');

/** A dirmeta object: what a folder has besides its entries. */
export interface DirMeta {
  readonly uid: number;
  readonly gid: number;
  /** with the type: 0040755 */
  readonly mode: number;
  readonly xattrs: Xattrs;
}

/** @throws FormatError for what is no dirmeta of a folder */
export function parseDirMeta(bytes: Buffer): DirMeta {
  const meta = parseMeta(bytes);
  if (!isOfType(meta.mode, S_IFDIR)) throw wrongMode(meta, "no folder's");
  return meta;
}

/**
 * Reads what bare-user repositories have beside a file, in the same form.
 * @throws FormatError for what is not that of a regular file or symlink
 */
export function parseFileMeta(bytes: Buffer): DirMeta {
  const meta = parseMeta(bytes);
  if (!isOfType(meta.mode, S_IFREG) && !isOfType(meta.mode, S_IFLNK)) throw wrongMode(meta, "no file's");
  return meta;
}

function parseMeta(bytes: Buffer): DirMeta {
  const variant = Variant.from(TYPE, bytes);
  const [uid, gid, mode] = [0, 1, 2].map((i) => variant.at(i).bytes.readUInt32BE()) as [number, number, number];
  return { uid, gid, mode, xattrs: parseXattrs(variant.at(3)) };
}

function wrongMode({ mode }: DirMeta, what: string): FormatError {
  return new FormatError('OSTREE_OBJECT', `a dirmeta has mode 0${mode.toString(8)}, which is ${what}`);
}

export function encodeDirMeta({ uid, gid, mode, xattrs }: DirMeta): Buffer {
  const numbers = Buffer.alloc(12);
  numbers.writeUInt32BE(mode, numbers.writeUInt32BE(gid, numbers.writeUInt32BE(uid)));
  return encodeVariant(TYPE, [
    numbers.subarray(0, 4),
    numbers.subarray(4, 8),
    numbers.subarray(8),
    encodeXattrs(xattrs),
  ]);
}
