// meta.json: which hash a repository uses, which features a program must know, which EROFS versions images get.
import * as z from 'zod';
import { BridgeError, FormatError } from '../errors.js';
import type { ErofsVersion } from '../erofs/format/options.js';
import type { Algorithm } from '../fsverity/object-id.js';

export interface Meta {
  version: number;
  algorithm: Algorithm;
  features: { compatible: string[]; readOnlyCompatible: string[]; incompatible: string[] };
  /** As the file says it; `undefined` when it says nothing. See `erofsVersions`. */
  erofsFormats: { default: ErofsVersion; extra: ErofsVersion[] } | undefined;
}

const NEWEST_VERSION = 1;
const V1_EROFS = 'v1_erofs';
const KNOWN_READ_ONLY_COMPATIBLE: readonly string[] = [V1_EROFS];

const erofsVersion = z.literal([0, 1, 2]);
const flags = z.array(z.string()).default([]);
const schema = z.object({
  version: z.number().int().nonnegative(),
  algorithm: z.string(),
  features: z.object({ compatible: flags, 'read-only-compatible': flags, incompatible: flags }).prefault({}),
  erofs_formats: z.object({ default: erofsVersion, extra: z.array(erofsVersion).default([]) }).optional(),
});

/**
 * Reads meta.json.
 * @throws FormatError when it is not JSON of this shape, or names another hash or block size
 */
export function parseMeta(text: string): Meta {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new FormatError(
      'META_INVALID',
      'no JSON; when the file is moved away, the next command makes one that fits the objects',
      { cause },
    );
  }
  const parsed = schema.safeParse(json);
  if (!parsed.success) throw new FormatError('META_INVALID', z.prettifyError(parsed.error), { cause: parsed.error });
  const { version, algorithm, features, erofs_formats } = parsed.data;
  return {
    version,
    algorithm: parseAlgorithm(algorithm),
    features: {
      compatible: features.compatible,
      readOnlyCompatible: features['read-only-compatible'],
      incompatible: features.incompatible,
    },
    erofsFormats: erofs_formats,
  };
}

/** meta.json as the reference prints it: two spaces, a newline at the end. */
export function printMeta(meta: Meta): string {
  const { compatible, readOnlyCompatible, incompatible } = meta.features;
  const formats = meta.erofsFormats;
  const json = {
    version: meta.version,
    algorithm: algorithmName(meta.algorithm),
    features: { compatible, 'read-only-compatible': readOnlyCompatible, incompatible },
    ...(formats && {
      erofs_formats: { default: formats.default, ...(formats.extra.length > 0 && { extra: formats.extra }) },
    }),
  };
  return `${JSON.stringify(json, undefined, 2)}\n`;
}

/** The metadata of a new repository whose images have `version`. */
export function newMeta(algorithm: Algorithm, version: ErofsVersion): Meta {
  return {
    version: NEWEST_VERSION,
    algorithm,
    features: { compatible: [], readOnlyCompatible: version === 1 ? [V1_EROFS] : [], incompatible: [] },
    erofsFormats: { default: version, extra: [] },
  };
}

/** EROFS versions that every image of the repository gets, the default one first. */
export function erofsVersions(meta: Meta): readonly ErofsVersion[] {
  const { default: chosen, extra } = meta.erofsFormats ?? { default: 2, extra: [] };
  // Version 2 without extras is also what files from before this member existed stand for; there the flag decides.
  if (chosen === 2 && extra.length === 0) return [meta.features.readOnlyCompatible.includes(V1_EROFS) ? 1 : 2];
  return [...new Set([chosen, ...extra])];
}

/** All versions that an image may have of which nothing is known, most likely first. */
export function likelyVersions(meta: Meta): ErofsVersion[] {
  return [...new Set<ErofsVersion>([...erofsVersions(meta), 1, 0, 2])];
}

/** @throws BridgeError `REPOSITORY_INCOMPATIBLE` when this program is too old to read the repository */
export function checkReadable(meta: Meta): void {
  if (meta.version > NEWEST_VERSION)
    throw new BridgeError(
      'REPOSITORY_INCOMPATIBLE',
      `repository format ${meta.version} is newer than ${NEWEST_VERSION}; use a later version of this program`,
    );
  const { incompatible } = meta.features;
  if (incompatible.length > 0)
    throw new BridgeError(
      'REPOSITORY_INCOMPATIBLE',
      `repository requires features that are not known: ${incompatible.join(', ')}; use a later version of ` +
        'this program',
    );
}

/** @throws BridgeError `REPOSITORY_READ_ONLY` when only a newer program may write to the repository */
export function checkWritable(meta: Meta): void {
  const unknown = meta.features.readOnlyCompatible.filter((flag) => !KNOWN_READ_ONLY_COMPATIBLE.includes(flag));
  if (unknown.length > 0)
    throw new BridgeError(
      'REPOSITORY_READ_ONLY',
      `repository has features that are not known, so it can only be read: ${unknown.join(', ')}; change it with ` +
        'a later version of this program',
    );
}

/** The name of an algorithm with its block size of 2^12 bytes: `fsverity-sha512-12`. */
export function algorithmName(algorithm: Algorithm): string {
  return `fsverity-${algorithm}-12`;
}

/**
 * Reads the name of an algorithm.
 * @throws FormatError for another hash or block size
 */
export function parseAlgorithm(name: string): Algorithm {
  const match = /^fsverity-(sha256|sha512)-12$/.exec(name);
  if (!match)
    throw new FormatError(
      'META_ALGORITHM',
      `algorithm "${name}" is not supported, only fsverity-sha256-12 and fsverity-sha512-12; a newer version ` +
        'may know it',
    );
  return match[1] as Algorithm;
}
