import type { StoreLock } from '../lock.js';
import { isIncomplete, OddRecord, type LayerRecord } from '../records.js';
import type { StoreFolders } from './folders.js';
import { readRecords } from './index-file.js';
import { isLayerThere } from './layer-folder.js';
import { readLayer, usualId } from './layer-record.js';
import type { RawRecord } from './raw-record.js';

/** The only flag that a layer may have and be used: what it should be, by the config of its image. */
const HARMLESS_FLAG = 'expected-layer-diffid';

/** The finished layers of images. @param _lock a lock of the layers, shared at least */
export function readLayers({ layers }: StoreFolders, _lock: StoreLock): RawRecord[] {
  return readRecords(layers, 'layers.json').filter((record) => !isUnfinished(record));
}

/**
 * Looks for a layer that need not be written: of the same content, on the same parent, with its files and its tar. Of
 * several the one that podman would take.
 * @returns its id
 */
export function findLayer(
  folders: StoreFolders,
  records: readonly RawRecord[],
  parent: string | undefined,
  diffId: string,
): string | undefined {
  const ids = records
    .filter((record) => record.get('diff-digest') === diffId && parentOf(record) === parent)
    .filter((record) => problemOf(readLayer(record)) === undefined && isLayerThere(folders, idOf(record)))
    .map(idOf);
  const usual = usualId(parent, diffId);
  return ids.includes(usual) ? usual : ids[0];
}

/** The id in a record. */
export function idOf(record: RawRecord): string {
  return String(record.get('id'));
}

/** The parent in a record. */
export function parentOf(record: RawRecord): string | undefined {
  const parent = record.get('parent');
  return typeof parent === 'string' && parent !== '' ? parent : undefined;
}

/** Whether the layer was left in the middle of being written or removed. */
export function isUnfinished(record: RawRecord): boolean {
  const flags = record.get('flags');
  return flags instanceof Object && isIncomplete({ flags } as LayerRecord);
}

/** Why a layer cannot be used, to follow its name; undefined when it can. */
export function problemOf(layer: LayerRecord | OddRecord | undefined): string | undefined {
  if (layer === undefined || layer instanceof OddRecord) return 'has an odd record';
  if (layer.uidmap?.length || layer.gidmap?.length) return 'has the ids of its files mapped';
  const flag = Object.keys(layer.flags ?? {}).find((key) => key !== HARMLESS_FLAG);
  return flag === undefined ? undefined : `has the flag ${JSON.stringify(flag)}, which is not known`;
}
