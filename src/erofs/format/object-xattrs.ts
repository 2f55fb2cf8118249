import { FormatError } from '../../errors.js';
import type { ObjectId } from '../../fsverity/object-id.js';
import { alignUp, XATTR_ENTRY, XATTR_UNIT } from './format.js';
import { METACOPY, REDIRECT } from './overlay-names.js';
import { xattrName } from './xattr-name.js';

/** overlayfs's `struct ovl_metacopy`: what a metacopy mark that names a digest has as its value. */
export const METACOPY_VALUE = { version: 0, length: 1, flags: 2, algorithm: 3, digest: 4 } as const;
/** The same before a digest, by its number of hex digits: version 0, length of all, no flags, algorithm. */
export const METACOPY_HEADER = { 64: '\0\x24\0\x01', 128: '\0\x44\0\x02' } as const;

/** The entries that lead to an object, as they are when no other inode shares them; the digits are missing. */
interface Template {
  bytes: Buffer;
  digest: number;
  path: number;
}

const TEMPLATES = { 64: template(64), 128: template(128) } as const;
/** Name filter bits of both names. */
export const OBJECT_FILTER_BITS = xattrName(METACOPY, false).filterBit | xattrName(REDIRECT, false).filterBit;

function template(digits: 64 | 128): Template {
  const [metacopy, redirect] = [xattrName(METACOPY, false), xattrName(REDIRECT, false)];
  const head = METACOPY_HEADER[digits];
  const entry = (name: typeof metacopy, valueLength: number, value: string): Buffer => {
    const start = XATTR_ENTRY.end + name.suffix.length;
    const bytes = Buffer.alloc(alignUp(start + valueLength, XATTR_UNIT));
    bytes[XATTR_ENTRY.nameLength] = name.suffix.length;
    bytes[XATTR_ENTRY.nameIndex] = name.index;
    bytes.writeUInt16LE(valueLength, XATTR_ENTRY.valueLength);
    bytes.write(name.suffix + value, XATTR_ENTRY.end, 'latin1');
    return bytes;
  };
  const first = entry(metacopy, head.length + digits / 2, head);
  const second = entry(redirect, digits + 2, '/--/');
  return {
    bytes: Buffer.concat([first, second]),
    digest: XATTR_ENTRY.end + metacopy.suffix.length + head.length,
    path: first.length + XATTR_ENTRY.end + redirect.suffix.length,
  };
}

/** Bytes of both entries. */
export function objectXattrsSize(id: ObjectId): number {
  return TEMPLATES[id.length as 64 | 128].bytes.length;
}

/**
 * Writes both entries of an object.
 * @param id 64 or 128 characters
 * @throws FormatError EROFS_OBJECT_ID: they are not hex
 */
export function writeObjectXattrs(out: Buffer, id: ObjectId, offset: number): void {
  const { bytes, digest, path } = TEMPLATES[id.length as 64 | 128];
  out.set(bytes, offset);
  // `/xx/yyyy...` for `xxyyyy...`
  let to = offset + path + 1;
  for (let at = 0; at < id.length; at += 2) {
    const high = id.charCodeAt(at);
    const low = id.charCodeAt(at + 1);
    const byte = DIGIT[high]! * 16 + DIGIT[low]!;
    if (!(byte < 256)) throw new FormatError('EROFS_OBJECT_ID', `"${id}" is not hex`);
    out[offset + digest + at / 2] = byte;
    out[to] = high;
    out[to + 1] = low;
    to += at === 0 ? 3 : 2;
  }
}

/** Value of a hex digit by its character, 256 for others. */
const DIGIT = new Uint16Array(256).fill(256);
for (let value = 0; value < 16; value++) {
  const digit = value.toString(16);
  DIGIT[digit.charCodeAt(0)] = DIGIT[digit.toUpperCase().charCodeAt(0)] = value;
}
