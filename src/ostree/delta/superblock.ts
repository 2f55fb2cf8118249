// The beginning of a static delta: which commit is made of which, the new commit object, and what the parts bring.
//
//   (a{sv} t ay ay (a{sv}aya(say)sstayay) ay a(uayttay) a(yaytt))
//   metadata, time, from, to, commit, deltas that have to come before, parts, objects to fetch by themselves
//
// Numbers of parts are in the byte order of the machine that wrote them. A signed one is in another value, which begins
// with a magic: (t ay a{sv}), the superblock as bytes and the signatures of them. The signatures of the commit, its
// detached metadata, are in the metadata, where the name of a part would be.
import { FormatError } from '../../errors.js';
import { parseType } from '../gvariant/type.js';
import { Variant } from '../gvariant/variant.js';
import { checksumOf, verifyChecksum, type Checksum } from '../object/checksum.js';
import { parseDictionary } from '../object/commit.js';
import type { ObjectKind } from '../object/kind.js';
import { deltaFolder } from './names.js';

const TYPE = parseType('(a{sv}tayay(a{sv}aya(say)sstayay)aya(uayttay)a(yaytt))');
const SIGNED_TYPE = parseType('(taya{sv})');
const MAGIC = Buffer.from('OSTSGNDT', 'latin1');
const ID_SIZE = 32;

/** Objects in a delta, by their byte. */
const KINDS: readonly (ObjectKind | undefined)[] = [undefined, 'file', 'dirtree', 'dirmeta', 'commit'];

export interface DeltaObject {
  readonly kind: ObjectKind;
  readonly id: Checksum;
}

export interface DeltaPart {
  /** SHA-256 of the part as it is stored, in hex */
  readonly checksum: string;
  /** bytes of the part as it is stored */
  readonly size: number;
  /** bytes of all its objects */
  readonly contentSize: number;
  /** what it makes, in this order */
  readonly objects: readonly DeltaObject[];
  /** the part itself, where it is in the superblock: its compression and its bytes */
  readonly inline: readonly Buffer[] | undefined;
}

export interface Superblock {
  /** the commit that files are made of; undefined: of none */
  readonly from: Checksum | undefined;
  readonly to: Checksum;
  /** the bytes of commit `to` */
  readonly commit: Buffer;
  readonly parts: readonly DeltaPart[];
  /** objects that are in no part */
  readonly fallbacks: readonly DeltaObject[];
  /** the detached metadata of the commit, as it is in `ID.commitmeta`; undefined when there is none */
  readonly detached: Buffer | undefined;
  /** the names and values of the signatures of all of it; none for one that is not signed */
  readonly signatures: readonly (readonly [name: string, value: Variant])[];
  /** what is signed */
  readonly bytes: Buffer;
}

/**
 * Reads a superblock. The commit in it is verified.
 * @throws FormatError `OSTREE_GVARIANT`, `OSTREE_DELTA`; DigestMismatchError for another commit than it says
 */
export function parseSuperblock(file: Buffer): Superblock {
  const signed = file.subarray(0, MAGIC.length).equals(MAGIC) ? Variant.from(SIGNED_TYPE, file) : undefined;
  const bytes = signed === undefined ? file : signed.at(1).bytes;
  const variant = Variant.from(TYPE, bytes);
  const metadata = parseDictionary(variant.at(0));
  const from = variant.at(2).bytes;
  const to = checksumOf(variant.at(3).bytes, 'a delta');
  const commit = variant.at(4).bytes;
  verifyChecksum(commit, to, 'the commit in the delta');
  const names = {
    from: from.length === 0 ? undefined : checksumOf(from, 'the base of a delta'),
    to,
  };
  const detached = metadata.find(([key]) => key === `${deltaFolder(names.from, names.to)}/commitmeta`)?.[1];
  if (detached !== undefined && detached.type.signature !== 'a{sv}')
    throw damaged(`has detached metadata of type ${detached.type.signature}`);
  const readNumber = numberReader(metadata.find(([key]) => key === 'ostree.endianness')?.[1]);
  return {
    ...names,
    commit,
    parts: Array.from(variant.at(6), (part, index) => parsePart(part, index, names, metadata, readNumber)),
    fallbacks: Array.from(variant.at(7), (entry) => ({
      kind: kindOf(entry.at(0).number()),
      id: checksumOf(entry.at(1).bytes, 'an object of a delta'),
    })),
    detached: detached?.bytes,
    signatures: signed === undefined ? [] : parseDictionary(signed.at(2)),
    bytes,
  };
}

function parsePart(
  part: Variant,
  index: number,
  names: { from: Checksum | undefined; to: Checksum },
  metadata: readonly (readonly [key: string, value: Variant])[],
  readNumber: (bytes: Buffer) => bigint,
): DeltaPart {
  const version = part.at(0).bytes;
  if (version.readUInt32LE() !== 0)
    throw damaged(`has part ${index} of version ${version.readUInt32LE()}; only 0 is known`);
  const objects = part.at(4).bytes;
  if (objects.length % (ID_SIZE + 1) !== 0) throw damaged(`has a list of the objects in part ${index} that is cut`);
  const inline = metadata.find(([key]) => key === `${deltaFolder(names.from, names.to)}/${index}`)?.[1];
  if (inline !== undefined && inline.type.signature !== '(yay)')
    throw damaged(`has part ${index} in a value of type ${inline.type.signature}`);
  return {
    checksum: checksumOf(part.at(1).bytes, `part ${index} of a delta`),
    size: sizeOf(readNumber(part.at(2).bytes), index),
    contentSize: sizeOf(readNumber(part.at(3).bytes), index),
    objects: Array.from({ length: objects.length / (ID_SIZE + 1) }, (_, i) => {
      const at = i * (ID_SIZE + 1);
      return { kind: kindOf(objects[at]!), id: objects.toString('hex', at + 1, at + 1 + ID_SIZE) };
    }),
    inline: inline === undefined ? undefined : [inline.at(0).bytes, inline.at(1).bytes],
  };
}

/** @param endianness `l` or `B`; old deltas do not say it */
function numberReader(endianness: Variant | undefined): (bytes: Buffer) => bigint {
  const order = endianness === undefined ? 'l' : endianness.bytes.toString('latin1');
  if (order !== 'l' && order !== 'B') throw damaged(`has byte order ${JSON.stringify(order)}; it is l or B`);
  return (bytes) => (order === 'l' ? bytes.readBigUInt64LE() : bytes.readBigUInt64BE());
}

function sizeOf(value: bigint, index: number): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw damaged(`has part ${index} of ${value} bytes`);
  return Number(value);
}

function kindOf(byte: number): ObjectKind {
  const kind = KINDS[byte];
  if (kind === undefined) throw damaged(`has an object of kind ${byte}`);
  return kind;
}

function damaged(what: string): FormatError {
  return new FormatError('OSTREE_DELTA', `the delta ${what}`);
}
