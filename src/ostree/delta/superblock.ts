// The beginning of a static delta: which commit is made of which, the new commit object, and what the parts bring.
//
//   (a{sv} t ay ay (a{sv}aya(say)sstayay) ay a(uayttay) a(yaytt))
//   metadata, time, from, to, commit, deltas that have to come before, parts, objects to fetch by themselves
//
// Numbers of parts are in the byte order of the machine that wrote them. A signed one is in another value, which begins
// with a magic: (t ay a{sv}), the superblock as bytes and the signatures of them. The signatures of the commit, its
// detached metadata, are in the metadata, where the name of a part would be.
import { FormatError } from '../../errors.js';
import { OSTREE_METADATA_LIMIT } from '../../limits.js';
import { parseType } from '../gvariant/type.js';
import type { Variant } from '../gvariant/variant.js';
import { checksumOf, ID_SIZE, verifyChecksum, type Checksum } from '../object/checksum.js';
import { parseDictionary } from '../object/commit.js';
import type { ObjectKind } from '../object/kind.js';
import type { ByteRange } from './byte-range.js';
import { deltaFolder } from './names.js';
import { StoredVariant } from './stored-variant.js';

const TYPE = parseType('(a{sv}tayay(a{sv}aya(say)sstayay)aya(uayttay)a(yaytt))');
const SIGNED_TYPE = parseType('(taya{sv})');
const MAGIC = Buffer.from('OSTSGNDT', 'latin1');
const ENDIANNESS = 'ostree.endianness';

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
  /** the part itself, where it is in the superblock */
  readonly inline: ByteRange | undefined;
}

/** Valid as long as the bytes that it was read from. */
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
  /** What is signed. Large when parts are in it. */
  bytes(): Buffer;
}

/**
 * Reads a superblock, but for the parts in it. The commit in it is verified.
 * @throws FormatError `OSTREE_GVARIANT`, `OSTREE_DELTA`; DigestMismatchError for another commit than it says
 */
export function parseSuperblock(file: ByteRange): Superblock {
  const magic = file.read(0, Math.min(MAGIC.length, file.length));
  const signed = magic.equals(MAGIC) ? new StoredVariant(SIGNED_TYPE, file) : undefined;
  const range = signed?.at(1).range ?? file;
  const variant = new StoredVariant(TYPE, range);
  const member = (index: number): Variant => variant.at(index).load(OSTREE_METADATA_LIMIT);
  const from = member(2).bytes;
  const to = checksumOf(member(3).bytes, () => 'a delta');
  const commit = member(4).bytes;
  verifyChecksum(commit, to, 'the commit in the delta');
  const names = {
    from: from.length === 0 ? undefined : checksumOf(from, () => 'the base of a delta'),
    to,
  };
  const folder = deltaFolder(names.from, names.to);
  const metadata = readMetadata(variant.at(0), folder);
  const detached = metadata.get(`${folder}/commitmeta`);
  if (detached !== undefined && detached.type.signature !== 'a{sv}')
    throw damaged(`has detached metadata of type ${detached.type.signature}`);
  const readNumber = numberReader(metadata.get(ENDIANNESS)?.load(OSTREE_METADATA_LIMIT));
  return {
    ...names,
    commit,
    parts: Array.from(member(6), (part, index) =>
      parsePart(part, index, metadata.get(`${folder}/${index}`), readNumber),
    ),
    fallbacks: Array.from(member(7), (entry) => ({
      kind: kindOf(entry.at(0).number()),
      id: checksumOf(entry.at(1).bytes, () => 'an object of a delta'),
    })),
    detached: detached?.load(OSTREE_METADATA_LIMIT).bytes,
    signatures: signed === undefined ? [] : parseDictionary(signed.at(2).load(OSTREE_METADATA_LIMIT)),
    bytes: () => range.read(0, range.length),
  };
}

/** What in an `a{sv}` is of use here, by its key; of equal keys the first. */
function readMetadata(dictionary: StoredVariant, folder: string): Map<string, StoredVariant> {
  const longest = `${folder}/commitmeta`.length + 1;
  const found = new Map<string, StoredVariant>();
  for (let i = 0; i < dictionary.length; i++) {
    const entry = dictionary.at(i);
    const name = entry.at(0);
    if (name.range.length > longest) continue;
    const key = name.load(longest).string();
    if (!found.has(key) && (key === ENDIANNESS || key.startsWith(`${folder}/`))) found.set(key, entry.at(1).at(0));
  }
  return found;
}

function parsePart(
  part: Variant,
  index: number,
  inline: StoredVariant | undefined,
  readNumber: (bytes: Buffer) => bigint,
): DeltaPart {
  const version = part.at(0).bytes;
  if (version.readUInt32LE() !== 0)
    throw damaged(`has part ${index} of version ${version.readUInt32LE()}; only 0 is known`);
  const objects = part.at(4).bytes;
  if (objects.length % (ID_SIZE + 1) !== 0) throw damaged(`has a list of the objects in part ${index} that is cut`);
  if (inline !== undefined && inline.type.signature !== '(yay)')
    throw damaged(`has part ${index} in a value of type ${inline.type.signature}`);
  return {
    checksum: checksumOf(part.at(1).bytes, () => `part ${index} of a delta`),
    size: sizeOf(readNumber(part.at(2).bytes), index),
    contentSize: sizeOf(readNumber(part.at(3).bytes), index),
    objects: Array.from({ length: objects.length / (ID_SIZE + 1) }, (_, i) => {
      const at = i * (ID_SIZE + 1);
      return { kind: kindOf(objects[at]!), id: objects.toString('hex', at + 1, at + 1 + ID_SIZE) };
    }),
    inline: inline?.range,
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
