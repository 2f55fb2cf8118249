import type { ByteString } from '../bytes.js';
import { FormatError } from '../errors.js';
import { NO_XATTRS, type Xattrs } from '../tree/tree.js';
import { cString, unescapeField } from './dumpfile-escape.js';

/** Bytes of xattrs the C library lets one line have: all of the text, and names, values and 7 bytes each. */
const TEXT_MAX = 65535;
const BYTES_MAX = 32767 - 12;

/** Reads the ends of lines. Most lines end in one of a few sets of xattrs, which are read and kept once. */
export class XattrFields {
  private readonly known = new Map<ByteString, Xattrs>();

  /**
   * @param text what follows DIGEST
   * @throws FormatError DUMPFILE
   */
  read(text: ByteString): Xattrs {
    if (text === '') return NO_XATTRS;
    let xattrs = this.known.get(text);
    if (xattrs === undefined) this.known.set(text, (xattrs = parseXattrs(text)));
    return xattrs;
  }
}

function parseXattrs(text: ByteString): Xattrs {
  const xattrs = new Map<ByteString, ByteString>();
  // One space may end the line.
  const fields = (text.endsWith(' ') ? text.slice(0, -1) : text).split(' ');
  for (const field of fields) {
    const equals = field.indexOf('=');
    if (equals < 0) throw new FormatError('DUMPFILE', 'Missing = in xattr');
    const key = cString(unescapeField(field.slice(0, equals)));
    const value = unescapeField(field.slice(equals + 1));
    if (key === '' || key.length > 255) throw new FormatError('DUMPFILE', `Can't set xattr: a name of ${key.length} bytes`);
    xattrs.set(key, value);
  }
  let bytes = 0;
  for (const [key, value] of xattrs) bytes += 7 + key.length + value.length;
  if (text.length + 1 > TEXT_MAX || bytes > BYTES_MAX) throw new FormatError('DUMPFILE', 'Too many xattrs');
  return xattrs;
}
