import type { ByteString } from '../bytes.js';
import { FormatError } from '../errors.js';
import type { ObjectId } from '../repository/object-id.js';
import { objectPath } from '../repository/object-id.js';
import { Device, Directory, EMPTY, NO_XATTRS, Regular, Special, Symlink, TYPE_BITS, type Content, type Metadata, type Node, type Xattrs } from '../tree/tree.js';
import { cString, unescapeField } from './dumpfile-escape.js';
import { parseMode, parseNumber, parseNumber32, parseTime } from './dumpfile-numbers.js';
import { INLINE_MAX, SYMLINK_MAX } from './format.js';

const [SIZE, MODE, NLINK, UID, GID, RDEV, MTIME, PAYLOAD, CONTENT, DIGEST, XATTRS] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11] as const;

const KINDS = new Map<number, Node['kind']>(
  (Object.keys(TYPE_BITS) as Node['kind'][]).map((kind) => [TYPE_BITS[kind], kind]),
);

/** Bytes of xattrs the C library lets one line have: all of the text, and names, values and 7 bytes each. */
const XATTR_TEXT_MAX = 65535;
const XATTR_BYTES_MAX = 32767 - 12;

/**
 * Reads the inode of a dumpfile line.
 * @param fields at least 8 of them, still escaped; PAYLOAD, CONTENT and DIGEST may be missing
 * @throws FormatError DUMPFILE, naming the field
 */
export function parseNode(fields: readonly ByteString[]): Node {
  const size = parseNumber(fields[SIZE]!, 'SIZE');
  const mode = parseMode(fields[MODE]!);
  const kind = KINDS.get(mode & 0o170000);
  if (kind === undefined) throw new FormatError('DUMPFILE', `MODE: ${fields[MODE]!} has no known file type`);
  const links = parseNumber32(fields[NLINK]!, 'NLINK');
  const uid = parseNumber32(fields[UID]!, 'UID');
  const gid = lenient(fields[GID]!, 'GID', uid);
  const rdev = lenient(fields[RDEV]!, 'RDEV', uid);
  const time = parseTime(fields[MTIME]!);
  const payload = optional(fields[PAYLOAD] ?? '');
  const inline = optional(fields[CONTENT] ?? '');
  if (inline !== null) checkInline(inline, size);
  const metadata = { mode: mode & 0o7777, uid, gid, mtimeSec: time.sec, mtimeNsec: time.nsec, xattrs: parseXattrs(fields) };
  const node = nodeOf(kind, metadata, { size, rdev, payload, inline, digest: fields[DIGEST] ?? '' });
  if (node.kind !== 'directory') node.nlink = links;
  return node;
}

interface Data {
  size: bigint;
  rdev: number;
  payload: ByteString | null;
  inline: ByteString | null;
  digest: ByteString;
}

function nodeOf(kind: Node['kind'], metadata: Metadata, data: Data): Node {
  switch (kind) {
    case 'directory':
      return new Directory(metadata);
    case 'regular':
      return new Regular(metadata, contentOf(data));
    case 'symlink':
      return new Symlink(metadata, symlinkTarget(data.payload));
    case 'char':
    case 'block':
      return new Device(metadata, kind, data.rdev, data.size);
    default:
      return new Special(metadata, kind, data.size);
  }
}

function contentOf({ size, payload, inline, digest: digestField }: Data): Content {
  if (inline !== null && inline !== '') return { kind: 'inline', bytes: Buffer.from(inline, 'latin1') };
  const digest = digestField === '-' ? null : parseDigest(digestField, size);
  const path = payload === null || payload === '' ? null : cString(payload);
  if (digest !== null && path !== null && path === objectPath(digest)) return { kind: 'object', id: digest, size };
  if (size === 0n && path === null && digest === null) return EMPTY;
  return { kind: 'external', size, payload: path, digest };
}

/** Only an empty file's digest does not matter: for others the C library would store whatever its memory holds. */
function parseDigest(field: ByteString, size: bigint): ObjectId | null {
  const isDigest = /^(?:[0-9a-fA-F]{64}){1,2}$/.test(field);
  if (!isDigest && size === 0n) return null;
  if (!isDigest) throw new FormatError('DUMPFILE', `DIGEST: "${field}" is not 64 or 128 hex digits`);
  return field.toLowerCase();
}

function symlinkTarget(payload: ByteString | null): ByteString {
  const target = cString(payload ?? '');
  if (target === '' || target.length > SYMLINK_MAX[1]) {
    throw new FormatError('DUMPFILE', `PAYLOAD: a symlink target has 1 to ${SYMLINK_MAX[1]} bytes`);
  }
  return target;
}

function checkInline(inline: ByteString, size: bigint): void {
  if (BigInt(inline.length) !== size) {
    throw new FormatError('DUMPFILE', `CONTENT: ${inline.length} bytes, SIZE says ${size}`);
  }
  if (inline.length > INLINE_MAX[1]) throw new FormatError('DUMPFILE', `CONTENT: more than ${INLINE_MAX[1]} bytes`);
}

/** The C library looks at the wrong variable: what is no number is an error for root's files and else zero. */
function lenient(text: ByteString, field: string, uid: number): number {
  try {
    return parseNumber32(text, field);
  } catch (error) {
    if (uid === 0) throw error;
    return 0;
  }
}

function optional(field: ByteString): ByteString | null {
  return field === '-' ? null : unescapeField(field);
}

function parseXattrs(fields: readonly ByteString[]): Xattrs {
  if (fields.length <= XATTRS) return NO_XATTRS;
  const xattrs = new Map<ByteString, ByteString>();
  let text = 0;
  // One space may end the line.
  const end = fields.at(-1) === '' ? fields.length - 1 : fields.length;
  for (const field of fields.slice(XATTRS, end)) {
    const equals = field.indexOf('=');
    if (equals < 0) throw new FormatError('DUMPFILE', 'xattr: missing "="');
    const key = cString(unescapeField(field.slice(0, equals)));
    const value = unescapeField(field.slice(equals + 1));
    if (key === '' || key.length > 255) throw new FormatError('DUMPFILE', `xattr: a name of ${key.length} bytes`);
    xattrs.set(key, value);
    text += field.length + 1;
  }
  let bytes = 0;
  for (const [key, value] of xattrs) bytes += 7 + key.length + value.length;
  if (text > XATTR_TEXT_MAX || bytes > XATTR_BYTES_MAX) throw new FormatError('DUMPFILE', 'xattr: too many or too long');
  return xattrs;
}
