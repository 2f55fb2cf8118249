import * as z from 'zod';

/** What containers-storage keeps in layers.json and images.json, reduced to what a reader needs. */

// IDs become file names. Podman makes 64 hex digits; the library accepts what its caller chooses.
const id = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/);
export const digestSchema = z.string().regex(/^sha256:[0-9a-f]{64}$/);
const names = z.array(z.string()).nullish();

export const layerRecordSchema = z.object({
  id,
  parent: id.or(z.literal('')).nullish(),
  /** digest of the uncompressed tar; absent for layers identified by their table of contents */
  'diff-digest': digestSchema.or(z.literal('')).nullish(),
  /** length of the uncompressed tar, -1 when unknown */
  /** digest of the table of contents that a lazily pulled layer is trusted by */
  'toc-digest': z.string().nullish(),
  'diff-size': z.number().int().min(-1).nullish(),
  'big-data-names': names,
  flags: z.record(z.string(), z.unknown()).nullish(),
});

export const imageRecordSchema = z.object({
  id,
  /** digest of the manifest */
  digest: z.string().nullish(),
  names,
  /** the top layer; artifacts have none */
  layer: id.or(z.literal('')).nullish(),
  'big-data-names': names,
});

export type LayerRecord = z.output<typeof layerRecordSchema>;
export type ImageRecord = z.output<typeof imageRecordSchema>;

/** A layer whose writing or removal was not finished; podman deletes it when it next gets the chance. */
export function isIncomplete(record: LayerRecord): boolean {
  return record.flags?.['incomplete'] === true;
}

/**
 * The file that holds big data of this key: containers-storage keeps plain names and encodes all others.
 * Source: containers/storage, `makeBigDataBaseName`.
 */
export function bigDataFile(key: string): string {
  return /^[a-z0-9.]+$/.test(key) && key !== '.' && key !== '..' ? key : `=${Buffer.from(key, 'utf8').toString('base64')}`;
}
