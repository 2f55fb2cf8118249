// OCI image manifests, indexes and configs, and their docker v2s2 twins. Digests are over the exact bytes, so nothing
// is ever written from these types: they say what the bytes mean.
import { createHash } from 'node:crypto';
import * as z from 'zod';
import { layerKind } from './layer-types.js';
import type { FormatErrorCode } from '../error-codes.js';
import { DigestMismatchError, FormatError } from '../errors.js';
import { DOCUMENT_LIMIT } from '../limits.js';

export const MEDIA_TYPES = {
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  index: 'application/vnd.oci.image.index.v1+json',
  config: 'application/vnd.oci.image.config.v1+json',
  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
  dockerIndex: 'application/vnd.docker.distribution.manifest.list.v2+json',
  dockerConfig: 'application/vnd.docker.container.image.v1+json',
  /** what docker up to 1.10 called a config */
  untypedConfig: 'application/octet-stream',
} as const;

/** What a descriptor says about a blob. */
export interface BlobFacts {
  digest: string;
  /** in bytes */
  size: number;
}

const DIGEST = /^(?:sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128})$/;
const digest = z.string().regex(DIGEST, 'not a digest such as sha256:…');
const strings = z.record(z.string(), z.string()).nullish();
// The programs that write these are written in Go, to which null, nothing and what is empty are the same.
const text = z
  .string()
  .nullish()
  .transform((value) => value ?? undefined);
const word = z
  .string()
  .nullish()
  .transform((value) => value ?? '');
const list = <T extends z.ZodType>(of: T) =>
  z
    .array(of)
    .nullish()
    .transform((value) => value ?? []);

const platform = z.object({ architecture: word, os: word, variant: text });

const descriptor = z.object({
  mediaType: z.string(),
  digest,
  size: z.number().int().nonnegative(),
  artifactType: text,
  annotations: strings,
  urls: z.array(z.string()).nullish(),
  platform: platform.nullish(),
});

/** What docker wrote before 2016, which has no config. */
const LEGACY = 'application/vnd.docker.distribution.manifest.v1+json';

const manifest = z.object({
  schemaVersion: z.literal(2, {
    error: ({ input }) => (input === 1 ? `unsupported legacy manifest MIME type: ${LEGACY}` : undefined),
  }),
  mediaType: text,
  artifactType: text,
  config: descriptor,
  layers: list(descriptor),
  subject: descriptor.nullish(),
  annotations: strings,
});

const index = z.object({
  schemaVersion: z.literal(2),
  mediaType: text,
  artifactType: text,
  manifests: list(descriptor),
  annotations: strings,
});

const rootfs = z.object({ type: z.literal(['layers', '']).nullish(), diff_ids: list(digest) });

const config = z.object({
  architecture: word,
  os: word,
  variant: text,
  created: z.string().nullish(),
  config: z.object({ Labels: strings }).nullish(),
  rootfs: rootfs.nullish().transform((value) => value ?? { diff_ids: [] }),
});

export type Descriptor = z.infer<typeof descriptor>;
export type Manifest = z.infer<typeof manifest>;
export type ImageIndex = z.infer<typeof index>;
export type ImageConfig = z.infer<typeof config>;

/** Reads an image manifest. @throws FormatError `MANIFEST_INVALID` */
export function parseManifest(bytes: Uint8Array): Manifest {
  return parse(manifest, bytes, 'MANIFEST_INVALID', 'manifest');
}

/** Reads an image index (docker: manifest list). @throws FormatError `INDEX_INVALID` */
export function parseIndex(bytes: Uint8Array): ImageIndex {
  return parse(index, bytes, 'INDEX_INVALID', 'image index');
}

/** Reads the config of a container image. @throws FormatError `CONFIG_INVALID` */
export function parseConfig(bytes: Uint8Array): ImageConfig {
  return parse(config, bytes, 'CONFIG_INVALID', 'image config');
}

/**
 * Whether a manifest describes a container image; everything else is an artifact, whose layers are just blobs. Where
 * the config's type says nothing, its bytes and the layers' types do.
 * @param bytes of the config; may be left out where they are lost
 */
export function isContainerImage({ config: { mediaType }, layers }: Manifest, bytes?: Uint8Array): boolean {
  if (mediaType === MEDIA_TYPES.config || mediaType === MEDIA_TYPES.dockerConfig) return true;
  if (mediaType !== MEDIA_TYPES.untypedConfig || layers.length === 0 || bytes === undefined) return false;
  return layers.every((layer) => layerKind(layer.mediaType) !== undefined) && diffIdCount(bytes) === layers.length;
}

function diffIdCount(bytes: Uint8Array): number | undefined {
  try {
    return parseConfig(bytes).rootfs.diff_ids.length;
  } catch (error) {
    if (error instanceof FormatError) return undefined;
    throw error;
  }
}

/** Whether text is a digest in the form `sha256:<hex>`, or sha384 or sha512. */
export function isDigest(text: string): boolean {
  return DIGEST.test(text);
}

/**
 * The digest of some bytes.
 * @param like a digest of the algorithm to use
 */
export function digestLike(like: string, bytes: Uint8Array): string {
  const algorithm = like.slice(0, like.indexOf(':'));
  return `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}`;
}

/** @throws DigestMismatchError when `bytes` do not have the digest; `what` names them in the message */
export function checkDigest(what: string, expected: string, bytes: Uint8Array): void {
  const actual = digestLike(expected, bytes);
  if (actual !== expected) throw new DigestMismatchError(what, expected, actual);
}

function parse<T extends z.ZodType>(schema: T, bytes: Uint8Array, code: FormatErrorCode, what: string): z.output<T> {
  if (bytes.length > DOCUMENT_LIMIT)
    throw new FormatError(code, `${what} of ${bytes.length} bytes, at most ${DOCUMENT_LIMIT} are accepted`);
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new FormatError(code, `${what} is not JSON`, { cause });
  }
  const parsed = schema.safeParse(json);
  if (!parsed.success)
    throw new FormatError(code, `${what}: ${z.prettifyError(parsed.error)}`, { cause: parsed.error });
  return parsed.data;
}
