import type { ByteString } from '../bytes.js';
import { FormatError } from '../errors.js';
import type { ObjectId } from '../repository/object-id.js';
import { Device, Directory, EMPTY, Regular, Special, Symlink, TYPE_BITS, type Content, type Metadata, type Node } from '../tree/tree.js';
import { cString, unescapeField } from './dumpfile-escape.js';
import type { LineFields } from './dumpfile-fields.js';
import type { XattrFields } from './dumpfile-xattrs.js';
import { INLINE_MAX, SYMLINK_MAX } from './format.js';

const KINDS = new Map<number, Node['kind']>(
  (Object.keys(TYPE_BITS) as Node['kind'][]).map((kind) => [TYPE_BITS[kind], kind]),
);

/**
 * Reads the inode of a dumpfile line.
 * @param fields those from MODE on
 * @throws FormatError DUMPFILE, with the reason that the C library gives
 */
export function parseNode(size: bigint, fields: LineFields, xattrFields: XattrFields): Node {
  const mode = fields.mode();
  const kind = KINDS.get(mode & 0o170000);
  if (kind === undefined) throw problem(`Invalid mode ${mode.toString(8)}`);
  const links = fields.number32();
  const uid = fields.number32();
  const gid = lenient(fields, uid);
  const rdev = lenient(fields, uid);
  const mtimeSec = fields.seconds();
  const mtimeNsec = fields.number32();
  const payload = optional(fields.next());
  const inline = optional(fields.next());
  const digest = fields.next();
  if (inline !== null) checkInline(inline, size);
  const metadata = { mode: mode & 0o7777, uid, gid, mtimeSec, mtimeNsec, xattrs: xattrFields.read(fields.rest()) };
  const node = nodeOf(kind, metadata, { size, rdev, payload, inline, digest });
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
  if (digest !== null && path !== null && isPathOf(path, digest)) return { kind: 'object', id: digest, size };
  if (size === 0n && path === null && digest === null) return EMPTY;
  return { kind: 'external', size, payload: path, digest };
}

/** Only an empty file's digest does not matter: for others the C library would store whatever its memory holds. */
function parseDigest(field: ByteString, size: bigint): ObjectId | null {
  if (field.length === 64 || field.length === 128) {
    const hex = hexCase(field);
    if (hex === LOWER) return field;
    if (hex === MIXED) return field.toLowerCase();
  }
  if (size === 0n) return null;
  throw problem(`Invalid digest ${field}: 64 or 128 hex digits are needed`);
}

const [NOT_HEX, LOWER, MIXED] = [0, 1, 2] as const;

function hexCase(text: ByteString): typeof NOT_HEX | typeof LOWER | typeof MIXED {
  let upper = 0;
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if ((code >= 0x30 && code <= 0x39) || (code >= 0x61 && code <= 0x66)) continue;
    if (code < 0x41 || code > 0x46) return NOT_HEX;
    upper += 1;
  }
  return upper === 0 ? LOWER : MIXED;
}

const SLASH = 0x2f;

/** Whether a path is `xx/yyyy...` for the id `xxyyyy...`. */
function isPathOf(path: ByteString, id: ObjectId): boolean {
  if (path.length !== id.length + 1 || path.charCodeAt(2) !== SLASH) return false;
  for (let at = 0; at < id.length; at += 1) {
    if (path.charCodeAt(at < 2 ? at : at + 1) !== id.charCodeAt(at)) return false;
  }
  return true;
}

function symlinkTarget(payload: ByteString | null): ByteString {
  const target = cString(payload ?? '');
  if (target === '' || target.length > SYMLINK_MAX[1]) throw problem(target === '' ? 'Invalid symlink' : 'Invalid payload');
  return target;
}

function checkInline(inline: ByteString, size: bigint): void {
  if (BigInt(inline.length) !== size) throw problem(`Invalid content size ${inline.length}, must match size ${size}`);
  if (inline.length > INLINE_MAX[1]) throw problem(`Inline content size ${inline.length} exceeds maximum ${INLINE_MAX[1]}`);
}

/** The C library looks at the wrong variable: what is no number is an error for root's files and else zero. */
function lenient(fields: LineFields, uid: number): number {
  try {
    return fields.number32();
  } catch (error) {
    if (uid === 0) throw error;
    return 0;
  }
}

function optional(field: ByteString): ByteString | null {
  return field === '-' ? null : unescapeField(field);
}

function problem(message: string): FormatError {
  return new FormatError('DUMPFILE', message);
}
