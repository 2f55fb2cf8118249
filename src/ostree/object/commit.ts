import { FormatError } from '../../errors.js';
import { encodeVariant, type VariantValue } from '../gvariant/encode.js';
import { parseType } from '../gvariant/type.js';
import { Variant } from '../gvariant/variant.js';
import { checksumOf, type Checksum } from './checksum.js';

const TYPE = parseType('(a{sv}aya(say)sstayay)');

/** A commit object. */
export interface Commit {
  /** in the order in which they are stored, names may repeat */
  readonly metadata: readonly (readonly [key: string, value: Variant])[];
  readonly parent: Checksum | undefined;
  readonly subject: string;
  readonly body: string;
  /** seconds since 1970 */
  readonly timestamp: bigint;
  /** dirtree and dirmeta of the root folder */
  readonly tree: Checksum;
  readonly meta: Checksum;
}

/** @throws FormatError for what is no commit */
export function parseCommit(bytes: Buffer): Commit {
  const variant = Variant.from(TYPE, bytes);
  const parent = variant.at(1).bytes;
  return {
    metadata: parseDictionary(variant.at(0)),
    parent: parent.length === 0 ? undefined : checksumOf(parent, () => 'the parent of a commit'),
    subject: variant.at(3).string(),
    body: variant.at(4).string(),
    timestamp: variant.at(5).bytes.readBigUInt64BE(),
    tree: checksumOf(variant.at(6).bytes, () => 'the tree of a commit'),
    meta: checksumOf(variant.at(7).bytes, () => 'the root folder of a commit'),
  };
}

/** Reads an `a{sv}`. */
export function parseDictionary(variant: Variant): [key: string, value: Variant][] {
  return Array.from(variant, (entry) => [entry.at(0).string(), entry.at(1).at(0)]);
}

/** @throws FormatError for a time that no commit can have */
export function encodeCommit(commit: Commit): Buffer {
  if (commit.timestamp < 0n || commit.timestamp >= 2n ** 63n)
    throw new FormatError('OSTREE_OBJECT', `a commit cannot be of second ${commit.timestamp}`);
  const timestamp = Buffer.alloc(8);
  timestamp.writeBigUInt64BE(commit.timestamp);
  return encodeVariant(TYPE, [
    commit.metadata as readonly VariantValue[],
    Buffer.from(commit.parent ?? '', 'hex'),
    [],
    commit.subject,
    commit.body,
    timestamp,
    Buffer.from(commit.tree, 'hex'),
    Buffer.from(commit.meta, 'hex'),
  ]);
}
