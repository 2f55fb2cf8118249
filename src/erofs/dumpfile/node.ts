import type { ByteString } from '../../bytes.js';
import { objectPath } from '../../fsverity/object-id.js';
import {
  Device,
  Directory,
  EMPTY,
  Regular,
  Special,
  Symlink,
  TYPE_BITS,
  type Content,
  type Node,
} from '../../tree/tree.js';
import { CONTENT, DIGEST, GID, MODE, NLINK, PAYLOAD, RDEV, SIZE, UID, type LineFields } from './fields.js';
import { DumpProblem } from './problem.js';
import { sameBytes, type XattrFields } from './xattrs.js';
import { INLINE_MAX, SYMLINK_MAX } from '../format/format.js';

/** Longest path of content in bytes, as of a symlink's target. */
const PATH_MAX = SYMLINK_MAX[1];
const TYPE_MASK = 0o170000;

/**
 * Reads the inode of a dumpfile line.
 * @throws DumpProblem
 */
export function parseNode(fields: LineFields, xattrFields: XattrFields): Node {
  const mode = fields.mode();
  const type = mode & TYPE_MASK;
  if (!TYPES.has(type)) throw new DumpProblem(`Invalid mode ${parseInt(fields.raw(MODE), 8).toString(8)}`, MODE);
  const size = fields.number64(SIZE);
  const links = fields.number32(NLINK);
  const uid = fields.number32(UID);
  const gid = lenient(fields, GID, uid);
  const rdev = lenient(fields, RDEV, uid);
  const mtimeSec = fields.seconds();
  const mtimeNsec = fields.nanoseconds();
  const inline = fields.isUnset(CONTENT) ? undefined : fields.value(CONTENT);
  if (inline !== undefined) checkInline(inline, size);
  checkPayload(fields);
  const metadata = { mode: mode & 0o7777, uid, gid, mtimeSec, mtimeNsec, xattrs: xattrFields.read(fields) };
  if (type === TYPE_BITS.directory) return new Directory(metadata);
  let leaf;
  if (type === TYPE_BITS.regular) leaf = new Regular(metadata, contentOf(size, inline, fields));
  else if (type === TYPE_BITS.symlink) leaf = new Symlink(metadata, symlinkTarget(fields));
  else if (type === TYPE_BITS.char || type === TYPE_BITS.block)
    leaf = new Device(metadata, type === TYPE_BITS.char ? 'char' : 'block', rdev, size);
  else leaf = new Special(metadata, type === TYPE_BITS.fifo ? 'fifo' : 'socket', size);
  leaf.nlink = links;
  return leaf;
}

const TYPES: ReadonlySet<number> = new Set(Object.values(TYPE_BITS));

function contentOf(size: bigint, inline: ByteString | undefined, fields: LineFields): Content {
  if (inline !== undefined && inline !== '') return { kind: 'inline', bytes: Buffer.from(inline, 'latin1') };
  const digest = digestCase(fields);
  if (digest === LOWER && isObjectPath(fields)) return { kind: 'object', id: fields.raw(DIGEST), size };
  return otherContent(size, digest, fields);
}

/** Files that are not as composefs itself writes them. */
function otherContent(size: bigint, digestCase: DigestCase, fields: LineFields): Content {
  const path = fields.isUnset(PAYLOAD) || fields.length(PAYLOAD) === 0 ? undefined : fields.cString(PAYLOAD);
  // Only an empty file's digest does not matter: for others the C library would store whatever its memory holds.
  if (digestCase === NOT_HEX && size !== 0n && !fields.isUnset(DIGEST)) {
    throw new DumpProblem(`Invalid digest ${fields.raw(DIGEST)}: 64 or 128 hex digits are needed`, DIGEST);
  }
  const digest = digestCase === NOT_HEX ? undefined : fields.raw(DIGEST).toLowerCase();
  if (digest !== undefined && path === objectPath(digest)) return { kind: 'object', id: digest, size };
  if (size === 0n && path === undefined && digest === undefined) return EMPTY;
  return { kind: 'external', size, payload: path, digest };
}

const [NOT_HEX, LOWER, MIXED] = [0, 1, 2] as const;
type DigestCase = typeof NOT_HEX | typeof LOWER | typeof MIXED;

function digestCase(fields: LineFields): DigestCase {
  const length = fields.length(DIGEST);
  if (length !== 64 && length !== 128) return NOT_HEX;
  const { bytes } = fields;
  const start = fields.start(DIGEST);
  let upper = 0;
  for (let at = start; at < start + length; at++) {
    const code = bytes[at]!;
    if ((code >= 0x30 && code <= 0x39) || (code >= 0x61 && code <= 0x66)) continue;
    if (code < 0x41 || code > 0x46) return NOT_HEX;
    upper++;
  }
  return upper === 0 ? LOWER : MIXED;
}

const SLASH = 0x2f;

/** Whether PAYLOAD is `xx/yyyy...` for the DIGEST `xxyyyy...`. */
function isObjectPath(fields: LineFields): boolean {
  const length = fields.length(DIGEST);
  if (fields.length(PAYLOAD) !== length + 1) return false;
  const { bytes } = fields;
  const digest = fields.start(DIGEST);
  const path = fields.start(PAYLOAD);
  if (bytes[path + 2] !== SLASH) return false;
  return sameBytes(bytes, path, digest, 2) && sameBytes(bytes, path + 3, digest + 2, length - 2);
}

function symlinkTarget(fields: LineFields): ByteString {
  const target = fields.isUnset(PAYLOAD) ? '' : fields.cString(PAYLOAD);
  if (target === '') throw new DumpProblem('Invalid symlink', PAYLOAD);
  return target;
}

function checkInline(inline: ByteString, size: bigint): void {
  if (BigInt(inline.length) !== size)
    throw new DumpProblem(`Invalid content size ${inline.length}, must match size ${BigInt.asIntN(64, size)}`, CONTENT);
  if (inline.length > INLINE_MAX[1])
    throw new DumpProblem(`Inline content size ${inline.length} exceeds maximum ${INLINE_MAX[1]}`, CONTENT);
}

/** Of every type of inode, also of those that have no use for it. */
function checkPayload(fields: LineFields): void {
  const path = fields.escaped || fields.length(PAYLOAD) > PATH_MAX ? fields.cString(PAYLOAD) : '';
  if (path.length > PATH_MAX) throw new DumpProblem('Invalid payload', PAYLOAD);
}

/** The C library looks at the wrong variable: what is not a number is an error for root's files and else zero. */
function lenient(fields: LineFields, field: number, uid: number): number {
  try {
    return fields.number32(field);
  } catch (error) {
    if (uid === 0) throw error;
    return 0;
  }
}
