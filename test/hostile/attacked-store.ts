import { chmodSync, mkdirSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { baseLayerFolder, makeStore, type MadeEntry } from '../support/images/made-store.js';

export interface AttackedStore {
  /** Where attackers may enter. */
  folder: string;
  graphroot: string;
  layerId: string;
  /** What the layer is unpacked in. */
  diff: string;
}

/**
 * A store in a new folder with one image of one layer.
 * @param mode whether attackers may enter the store itself, too
 */
export function attackedStore(name: string, entries: readonly MadeEntry[], mode = 0o755): AttackedStore {
  const folder = mkdtempSync(join(tmpdir(), 'attacked-'));
  chmodSync(folder, 0o755);
  const graphroot = join(folder, 'store');
  mkdirSync(graphroot, { mode });
  makeStore(graphroot, [{ name, layers: [{ entries }] }]);
  const diff = baseLayerFolder(graphroot, { entries });
  return { folder, graphroot, layerId: diff.split('/').at(-2) ?? '', diff };
}
