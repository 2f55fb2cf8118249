/** What happened to the content of a layer's files; counts of files, sizes in bytes. */
export interface LayerStats {
  entries: number;
  files: number;
  reflinked: number;
  hardlinked: number;
  copied: number;
  /** of the copied: files that would have been hardlinked but for their owner, mode or capabilities */
  unshareable: number;
  present: number;
  inlined: number;
  reflinkedBytes: number;
  hardlinkedBytes: number;
  copiedBytes: number;
  /** bytes inside the splitstream: headers, padding and short files */
  inlineBytes: number;
  /** length of the tar */
  tarBytes: number;
}

/** Nothing has happened yet. */
export function noStats(): LayerStats {
  return {
    entries: 0,
    files: 0,
    reflinked: 0,
    hardlinked: 0,
    copied: 0,
    unshareable: 0,
    present: 0,
    inlined: 0,
    reflinkedBytes: 0,
    hardlinkedBytes: 0,
    copiedBytes: 0,
    inlineBytes: 0,
    tarBytes: 0,
  };
}

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const;

/** Bytes the way cfsctl prints them: binary units, two decimals. */
export function describeBytes(bytes: number): string {
  let unit = 0;
  let amount = bytes;
  for (; amount >= 1024 && unit < UNITS.length - 1; unit++) amount /= 1024;
  return `${unit === 0 ? amount : amount.toFixed(2)} ${UNITS[unit]}`;
}

/** What happened in all layers together. */
export function addStats(layers: readonly { readonly stats: LayerStats | undefined }[]): LayerStats {
  const sum = noStats();
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
    return (
      `${stats.copied} new + ${stats.present} already present objects; ${describeBytes(stats.copiedBytes)} stored, ` +
      `${inlined}`
    );
  }
  const counts = [
    ...shared.map((way) => `${stats[way]} ${way}`),
    `${stats.copied} copied`,
    `${stats.present} already present objects`,
  ];
  const sizes = [
    ...shared.map((way) => `${describeBytes(stats[`${way}Bytes`])} ${way}`),
    `${describeBytes(stats.copiedBytes)} copied`,
    inlined,
  ];
  return `${counts.join(' + ')}; ${sizes.join(', ')}`;
}

/**
 * The line below: how many of the copied files could have been linked but for their owner, mode or capabilities. None
 * where all were.
 */
export function describeUnshareable({ unshareable }: LayerStats): string[] {
  return unshareable === 0 ? [] : [`         ${unshareable} copied: owner or mode`];
}
