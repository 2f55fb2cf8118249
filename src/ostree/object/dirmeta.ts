import { FormatError } from '../../errors.js';
import type { Xattrs } from '../../tree/tree.js';
import { encodeVariant } from '../gvariant/encode.js';
import { parseType } from '../gvariant/type.js';
import { Variant } from '../gvariant/variant.js';
import { isOfType, S_IFDIR } from './mode.js';
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
  const variant = Variant.from(TYPE, bytes);
  const [uid, gid, mode] = [0, 1, 2].map((i) => variant.at(i).bytes.readUInt32BE()) as [number, number, number];
  if (!isOfType(mode, S_IFDIR))
    throw new FormatError('OSTREE_OBJECT', `a dirmeta has mode 0${mode.toString(8)}, which is no folder's`);
  return { uid, gid, mode, xattrs: parseXattrs(variant.at(3)) };
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
