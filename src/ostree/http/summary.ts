// What a repository has, in one file, and large repositories' index of several such files.
//
//   summary      (a(s(taya{sv}))a{sv}): refs, sorted, each with size and id of its commit; and what else is to be known
//   summary.idx  (a{s(ayaaya{sv})}a{sv}): subsets, each with the SHA-256 of its summary, which is there compressed
import { FormatError } from '../../errors.js';
import { parseType } from '../gvariant/type.js';
import { Variant } from '../gvariant/variant.js';
import { checksumOf, type Checksum } from '../object/checksum.js';
import { parseDictionary } from '../object/commit.js';

const SUMMARY = parseType('(a(s(taya{sv}))a{sv})');
const INDEX = parseType('(a{s(ayaaya{sv})}a{sv})');

export interface Summary {
  readonly refs: ReadonlyMap<string, Checksum>;
  /** SHA-256 of the superblock of each delta, by `TO` or `FROM-TO`; undefined: it does not speak of deltas */
  readonly deltas: ReadonlyMap<string, string> | undefined;
  /** what the repository says that it is called */
  readonly collection: string | undefined;
}

/** @throws FormatError for what is no summary */
export function parseSummary(bytes: Buffer): Summary {
  const variant = Variant.from(SUMMARY, bytes);
  const refs = new Map<string, Checksum>();
  for (const ref of variant.at(0)) {
    const name = ref.at(0).string();
    refs.set(
      name,
      checksumOf(ref.at(1).at(1).bytes, () => `ref ${JSON.stringify(name)} of the summary`),
    );
  }
  const metadata = new Map(parseDictionary(variant.at(1)));
  const deltas = metadata.get('ostree.static-deltas');
  const collection = metadata.get('ostree.summary.collection-id');
  return {
    refs,
    deltas: deltas === undefined ? undefined : parseDeltas(deltas),
    collection: collection?.type.signature === 's' ? collection.string() : undefined,
  };
}

/** Reads the file that lists the deltas which make one commit. @throws FormatError */
export function parseDeltaIndex(bytes: Buffer): ReadonlyMap<string, string> {
  const metadata = new Map(parseDictionary(Variant.from('a{sv}', bytes)));
  const inner = metadata.get('ostree.static-deltas');
  return inner === undefined ? new Map() : parseDeltas(inner);
}

/** @returns SHA-256 of the summary of a subset; undefined when there is no such one @throws FormatError */
export function subsetIn(index: Buffer, subset: string): string | undefined {
  for (const entry of Variant.from(INDEX, index).at(0))
    if (entry.at(0).string() === subset)
      return checksumOf(entry.at(1).at(0).bytes, () => `subset ${JSON.stringify(subset)}`);
  return undefined;
}

function parseDeltas(value: Variant): Map<string, string> {
  if (value.type.signature !== 'a{sv}')
    throw new FormatError('OSTREE_DELTA', `a list of deltas is of type ${value.type.signature}`);
  return new Map(
    parseDictionary(value).map(([name, digest]) => [
      name,
      checksumOf(digest.bytes, () => `delta ${JSON.stringify(name)}`),
    ]),
  );
}
