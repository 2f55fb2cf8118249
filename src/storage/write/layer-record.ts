// The record of a layer in layers.json. Source: containers/storage, `Layer` in layers.go.
import { createHash, randomBytes } from 'node:crypto';
import type { ExtractedLayer } from '../extract/extract-layer.js';
import { layerRecordSchema, parseRecords, type LayerRecord, type OddRecord } from '../records.js';
import { goTime } from './go-time.js';
import { RawRecord } from './raw-record.js';

const KEYS = [
  'id',
  'names',
  'parent',
  'metadata',
  'mountlabel',
  'created',
  'compressed-diff-digest',
  'compressed-size',
  'diff-digest',
  'toc-digest',
  'diff-size',
  'compression',
  'uidset',
  'gidset',
  'flags',
  'uidmap',
  'gidmap',
  'big-data-names',
] as const;

/** How a blob was compressed, by the numbers that containers-storage has for it. */
const COMPRESSIONS = { none: 0, bzip2: 1, gzip: 2, xz: 3, zstd: 4 };

/** The blob that a layer came in, where somebody has verified that it is this layer's. */
export interface CompressedBlob {
  /** sha256:… */
  digest: string;
  /** bytes */
  size: number;
  compression: 'none' | 'bzip2' | 'gzip' | 'xz' | 'zstd';
}

/** The record of a layer that is not finished: whoever comes after a process that died here removes it. */
export function unfinishedLayer(id: string, parent: string | undefined): RawRecord {
  const record = RawRecord.empty();
  setAll(record, { id, parent, created: goTime(new Date()), flags: { incomplete: true } });
  return record;
}

/** Says in the record what the layer is, and that it is finished. */
export function finishLayer(record: RawRecord, layer: ExtractedLayer, blob: CompressedBlob | undefined): void {
  const { diffId, size, uids, gids } = layer;
  // Of digests by other algorithms podman makes nothing.
  const told = blob?.digest.startsWith('sha256:') ? blob : undefined;
  setAll(record, {
    'compressed-diff-digest': told?.digest ?? diffId,
    'compressed-size': told?.size ?? size,
    'diff-digest': diffId,
    'diff-size': size,
    compression: COMPRESSIONS[told?.compression ?? 'none'] || undefined,
    uidset: uids.length > 0 ? uids : undefined,
    gidset: gids.length > 0 ? gids : undefined,
  });
  setFlags(record, undefined);
}

/** Marks a layer as one that is about to be removed. */
export function markUnfinished(record: RawRecord): void {
  setFlags(record, true);
}

/** What a reader makes of the record; undefined when it has neither id nor names. */
export function readLayer(record: RawRecord): LayerRecord | OddRecord | undefined {
  return parseRecords([record.value()], layerRecordSchema, 'layers.json')[0];
}

/** The id that podman gives to a layer; Source: containers/image storage, `layerID`. */
export function usualId(parent: string | undefined, diffId: string): string {
  const hex = diffId.slice(diffId.indexOf(':') + 1);
  return parent === undefined ? hex : createHash('sha256').update(`${parent}+${hex}`).digest('hex');
}

/** One for a layer whose usual id is taken. */
export function randomId(): string {
  return randomBytes(32).toString('hex');
}

function setFlags(record: RawRecord, incomplete: true | undefined): void {
  const { incomplete: _, ...flags } = (record.get('flags') ?? {}) as Record<string, unknown>;
  if (incomplete) flags['incomplete'] = true;
  record.set('flags', Object.keys(flags).length > 0 ? flags : undefined, KEYS);
}

function setAll(record: RawRecord, members: Readonly<Partial<Record<(typeof KEYS)[number], unknown>>>): void {
  for (const [key, value] of Object.entries(members)) record.set(key, value, KEYS);
}
