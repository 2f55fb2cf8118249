import * as z from 'zod';
import { FormatError } from '../errors.js';

/** What containers-storage keeps in layers.json and images.json, reduced to what a reader needs. */

// IDs become file names. Podman makes 64 hex digits; the library accepts what its caller chooses.
const id = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/);
export const digestSchema = z.string().regex(/^sha256:[0-9a-f]{64}$/);
const names = z.array(z.string()).nullish();

/** Whether this is an id as podman makes them: nothing else in the folders of a store is called so. */
export function isHexId(text: string): boolean {
  return /^[0-9a-f]{64}$/.test(text);
}

export const layerRecordSchema = z.object({
  id,
  parent: id.or(z.literal('')).nullish(),
  /** digest of the uncompressed tar; absent for layers identified by their table of contents */
  'diff-digest': digestSchema.or(z.literal('')).nullish(),
  /** digest of the table of contents that a lazily pulled layer is trusted by */
  'toc-digest': z.string().nullish(),
  /** length of the uncompressed tar, -1 when unknown */
  'diff-size': z.number().int().min(-1).nullish(),
  'big-data-names': names,
  flags: z.record(z.string(), z.unknown()).nullish(),
  /** how the ids of its files were changed on the disk */
  uidmap: z.array(z.unknown()).nullish(),
  gidmap: z.array(z.unknown()).nullish(),
});

export const imageRecordSchema = z.object({
  id,
  /** digest of the manifest */
  digest: z.string().nullish(),
  names,
  /** names that it had, the last one first */
  'names-history': names,
  /** the top layer; artifacts have none */
  layer: id.or(z.literal('')).nullish(),
  /** JSON of the program that made the image */
  metadata: z.string().nullish(),
  'big-data-names': names,
  'big-data-digests': z.record(z.string(), z.string()).nullish(),
});

export type LayerRecord = z.output<typeof layerRecordSchema>;
export type ImageRecord = z.output<typeof imageRecordSchema>;

/** A record that is not what it should be. It is named when it is asked for; what else is in the store works. */
export class OddRecord {
  constructor(
    readonly id: string,
    readonly names: readonly string[],
    readonly problem: FormatError,
  ) {}
}

/** As much of an odd record as it takes to find it. */
const oddSchema = z.object({
  id: z
    .unknown()
    .optional()
    .transform((id): string | undefined => (typeof id === 'string' ? id : JSON.stringify(id))),
  names: z.array(z.string()).nullish().catch(undefined),
});

/**
 * Reads the records of an index.
 * @param file its name, for messages
 */
export function parseRecords<T extends z.ZodType>(
  values: readonly unknown[],
  schema: T,
  file: string,
): (z.output<T> | OddRecord)[] {
  return values.flatMap((value): (z.output<T> | OddRecord)[] => {
    const result = schema.safeParse(value);
    if (result.success) return [result.data];
    const odd = oddSchema.safeParse(value);
    // Without id and name nobody can ask for it.
    if (!odd.success || (odd.data.id === undefined && !odd.data.names?.length)) return [];
    const { id = '', names: itsNames } = odd.data;
    const issue = result.error.issues[0];
    const problem = new FormatError(
      'BAD_JSON',
      `${file}: the record of ${JSON.stringify(id)} is odd: ${issue?.path.join('.')}: ${issue?.message}`,
      { cause: result.error },
    );
    return [new OddRecord(id, itsNames ?? [], problem)];
  });
}

/** A layer whose writing or removal was not finished; podman deletes it when it next gets the chance. */
export function isIncomplete(record: LayerRecord): boolean {
  return record.flags?.['incomplete'] === true;
}

/**
 * The file that holds big data of this key: containers-storage keeps plain names and encodes all others.
 * Source: containers/storage, `makeBigDataBaseName`.
 */
export function bigDataFile(key: string): string {
  return /^[a-z0-9.]+$/.test(key) && key !== '.' && key !== '..'
    ? key
    : `=${Buffer.from(key, 'utf8').toString('base64')}`;
}
