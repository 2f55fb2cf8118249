// The record of an image in images.json. Source: containers/storage, `Image` in images.go.
import { digestLike } from '../../spec/manifest.js';
import { imageRecordSchema, OddRecord, parseRecords, type ImageRecord } from '../records.js';
import type { RawRecord } from './raw-record.js';

const KEYS = [
  'id',
  'digest',
  'names',
  'names-history',
  'layer',
  'mapped-layers',
  'metadata',
  'big-data-names',
  'big-data-sizes',
  'big-data-digests',
  'created',
  'flags',
] as const;
type Key = (typeof KEYS)[number];

/** Something kept beside an image. */
export interface ImageItem {
  /** what it is asked for by; see `bigDataFile` */
  key: string;
  bytes: Buffer;
}

/** Sets members of a record; undefined takes them out. */
export function setMembers(record: RawRecord, members: Readonly<Partial<Record<Key, unknown>>>): void {
  for (const [key, value] of Object.entries(members)) record.set(key, value, KEYS);
}

/** What a reader makes of the record. @throws FormatError `BAD_JSON` for an odd one */
export function readImage(record: RawRecord): ImageRecord {
  const [image] = parseRecords([record.value()], imageRecordSchema, 'images.json');
  if (image instanceof OddRecord) throw image.problem;
  return image as ImageRecord;
}

/** Names of an image, as far as the record has a list of them. */
function namesOf(record: RawRecord, key: 'names' | 'names-history' = 'names'): string[] {
  const names = record.get(key);
  return Array.isArray(names) ? names.filter((name) => typeof name === 'string') : [];
}

/** Gives an image names, before those it has; they are the latest in its history. */
export function addNames(record: RawRecord, names: readonly string[], history: readonly string[] = []): void {
  const all = [...new Set([...names, ...namesOf(record)])];
  const before = [...namesOf(record, 'names-history'), ...history];
  setMembers(record, {
    names: listOrNothing(all),
    'names-history': listOrNothing([...new Set([...all.toReversed(), ...before])]),
  });
}

/** Takes names from an image. Its history keeps them. @returns whether it had any of them */
export function takeNames(record: RawRecord, names: ReadonlySet<string>): boolean {
  const had = namesOf(record);
  const left = had.filter((name) => !names.has(name));
  if (left.length === had.length) return false;
  setMembers(record, { names: listOrNothing(left) });
  return true;
}

/** Which of these items the record does not have as they are. */
export function newItems(record: RawRecord, items: readonly ImageItem[]): ImageItem[] {
  const digests = tableOf(record, 'big-data-digests');
  return items.filter(({ key, bytes }) => digests[key] !== digestOf(bytes));
}

/** Says in the record that it has these items. */
export function listItems(record: RawRecord, items: readonly ImageItem[]): void {
  const keys = items.map(({ key }) => key);
  const names = [...new Set([...itemNames(record), ...keys])];
  const sizes = items.map(({ key, bytes }): [string, unknown] => [key, bytes.length]);
  const digests = items.map(({ key, bytes }): [string, unknown] => [key, digestOf(bytes)]);
  setMembers(record, {
    'big-data-names': names,
    'big-data-sizes': sorted({ ...tableOf(record, 'big-data-sizes'), ...Object.fromEntries(sizes) }),
    'big-data-digests': sorted({ ...tableOf(record, 'big-data-digests'), ...Object.fromEntries(digests) }),
  });
}

/** Takes the items of these keys out of the record, as long as their files are changed. */
export function unlistItems(record: RawRecord, keys: ReadonlySet<string>): void {
  const without = (table: Record<string, unknown>): Record<string, unknown> =>
    Object.fromEntries(Object.entries(table).filter(([key]) => !keys.has(key)));
  setMembers(record, {
    'big-data-names': itemNames(record).filter((key) => !keys.has(key)),
    'big-data-sizes': without(tableOf(record, 'big-data-sizes')),
    'big-data-digests': without(tableOf(record, 'big-data-digests')),
  });
}

/** The keys of all items. */
export function itemNames(record: RawRecord): string[] {
  const names = record.get('big-data-names');
  return Array.isArray(names) ? names.filter((name) => typeof name === 'string') : [];
}

function tableOf(record: RawRecord, key: 'big-data-sizes' | 'big-data-digests'): Record<string, unknown> {
  return { ...((record.get(key) ?? {}) as Record<string, unknown>) };
}

/** As Go writes the members of a map. */
function sorted(table: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(table).sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b))));
}

function listOrNothing(list: readonly string[]): readonly string[] | undefined {
  return list.length > 0 ? list : undefined;
}

/** sha256:… of an item. */
export function digestOf(bytes: Buffer): string {
  return digestLike('sha256:', bytes);
}
