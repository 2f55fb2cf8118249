import type { ByteString } from '../../bytes.js';
import { FormatError } from '../../errors.js';
import type { Xattrs } from '../../tree/tree.js';
import { NO_XATTRS } from '../../tree/tree.js';
import { encodeVariant } from '../gvariant/encode.js';
import { parseType } from '../gvariant/type.js';
import { Variant } from '../gvariant/variant.js';

const TYPE = parseType('a(ayay)');
const NONE = Buffer.alloc(0);

/**
 * Reads the xattrs of an object.
 * @returns by name as it is stored, which is with a NUL at its end; some writers have left that out
 * @throws FormatError for names that are not sorted, occur twice, are empty or have a NUL elsewhere
 */
export function parseXattrs(variant: Variant): Xattrs {
  if (variant.length === 0) return NO_XATTRS;
  const xattrs = new Map<ByteString, ByteString>();
  let previous = '';
  for (const pair of variant) {
    const name = pair.at(0).bytes.toString('latin1');
    const bare = name.endsWith('\0') ? name.slice(0, -1) : name;
    if (bare === '' || bare.length > 255 || bare.includes('\0'))
      throw new FormatError('OSTREE_OBJECT', `an xattr has the name ${JSON.stringify(name)}`);
    if (bare <= previous)
      throw new FormatError('OSTREE_OBJECT', `xattr ${JSON.stringify(bare)} does not come after the one before it`);
    previous = bare;
    xattrs.set(name, pair.at(1).bytes.toString('latin1'));
  }
  return xattrs;
}

/** Reads xattrs that are stored by themselves. @throws FormatError as above */
export function readXattrs(bytes: Buffer): Xattrs {
  if (bytes.length === 0) return NO_XATTRS;
  return parseXattrs(Variant.from(TYPE, bytes));
}

/** As the kernel has the names. */
export function withoutNul(xattrs: Xattrs): Xattrs {
  return xattrs.size === 0 ? NO_XATTRS : new Map([...xattrs].map(([name, value]) => [name.replace(/\0$/, ''), value]));
}

/** Writes xattrs, sorted; of none there are no bytes. @param xattrs names as they are stored */
export function encodeXattrs(xattrs: Xattrs): Buffer {
  if (xattrs.size === 0) return NONE;
  const sorted = [...xattrs].sort(([a], [b]) => (a < b ? -1 : 1));
  return encodeVariant(
    TYPE,
    sorted.map((pair) => pair.map((bytes) => Buffer.from(bytes, 'latin1'))),
  );
}
