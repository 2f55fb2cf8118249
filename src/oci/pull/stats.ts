import type { LayerStats } from './import-layer.js';
import type { PulledLayer } from './types.js';

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const;

/** Bytes the way cfsctl prints them: binary units, two decimals. */
export function describeBytes(bytes: number): string {
  let unit = 0;
  let amount = bytes;
  for (; amount >= 1024 && unit < UNITS.length - 1; unit++) amount /= 1024;
  return `${unit === 0 ? amount : amount.toFixed(2)} ${UNITS[unit]}`;
}

/** What happened in all layers together. */
export function addStats(layers: readonly PulledLayer[]): LayerStats {
  const sum: LayerStats = {
    entries: 0, files: 0, reflinked: 0, hardlinked: 0, copied: 0, present: 0, inlined: 0,
    reflinkedBytes: 0, hardlinkedBytes: 0, copiedBytes: 0, inlineBytes: 0, tarBytes: 0,
  };
  for (const { stats } of layers) {
    if (stats === undefined) continue;
    for (const key of Object.keys(sum) as (keyof LayerStats)[]) sum[key] += stats[key];
  }
  return sum;
}

/** The line after `objects` in what `oci pull` prints, as cfsctl has it. */
export function describeObjects(stats: LayerStats): string {
  const inlined = `${describeBytes(stats.inlineBytes)} inlined`;
  const shared = (['reflinked', 'hardlinked'] as const).filter((way) => stats[way] > 0);
  if (shared.length === 0) {
    return `${stats.copied} new + ${stats.present} already present objects; ${describeBytes(stats.copiedBytes)} stored, ${inlined}`;
  }
  const counts = [...shared.map((way) => `${stats[way]} ${way}`), `${stats.copied} copied`, `${stats.present} already present objects`];
  const sizes = [...shared.map((way) => `${describeBytes(stats[`${way}Bytes`])} ${way}`), `${describeBytes(stats.copiedBytes)} copied`, inlined];
  return `${counts.join(' + ')}; ${sizes.join(', ')}`;
}
