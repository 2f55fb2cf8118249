// OCI image manifests, indexes and configs, and their docker v2s2 twins. Digests are over the exact bytes, so nothing is
// ever written from these types: they say what the bytes mean.
import { createHash } from 'node:crypto';
import * as z from 'zod';
import { DigestMismatchError, FormatError } from '../errors.js';

export const MEDIA_TYPES = {
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  index: 'application/vnd.oci.image.index.v1+json',
  config: 'application/vnd.oci.image.config.v1+json',
  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
  dockerIndex: 'application/vnd.docker.distribution.manifest.list.v2+json',
  dockerConfig: 'application/vnd.docker.container.image.v1+json',
} as const;

/** Largest manifest or config that is read, in bytes. */
export const JSON_LIMIT = 16 << 20;

const DIGEST = /^(?:sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128})$/;
const digest = z.string().regex(DIGEST, 'not a digest such as sha256:…');
const strings = z.record(z.string(), z.string()).nullish();

const platform = z.object({ architecture: z.string(), os: z.string(), variant: z.string().optional() });

const descriptor = z.object({
  mediaType: z.string(),
  digest,
  size: z.number().int().nonnegative(),
  artifactType: z.string().optional(),
  annotations: strings,
  urls: z.array(z.string()).nullish(),
  platform: platform.nullish(),
});

const manifest = z.object({
  schemaVersion: z.literal(2),
  mediaType: z.string().optional(),
  artifactType: z.string().optional(),
  config: descriptor,
  layers: z.array(descriptor),
  subject: descriptor.nullish(),
  annotations: strings,
});

const index = z.object({
  schemaVersion: z.literal(2),
  mediaType: z.string().optional(),
  artifactType: z.string().optional(),
  manifests: z.array(descriptor),
  annotations: strings,
});

const config = z.object({
  architecture: z.string(),
  os: z.string(),
  variant: z.string().optional(),
  created: z.string().nullish(),
  config: z.object({ Labels: strings }).nullish(),
  rootfs: z.object({ type: z.literal('layers'), diff_ids: z.array(digest) }),
});

export type Descriptor = z.infer<typeof descriptor>;
export type Platform = z.infer<typeof platform>;
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

/** Whether a manifest describes a container image; everything else is an artifact, whose layers are just blobs. */
export function isContainerImage(of: Manifest): boolean {
  return of.config.mediaType === MEDIA_TYPES.config || of.config.mediaType === MEDIA_TYPES.dockerConfig;
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

function parse<T>(schema: z.ZodType<T>, bytes: Uint8Array, code: string, what: string): T {
  if (bytes.length > JSON_LIMIT) throw new FormatError(code, `${what} of ${bytes.length} bytes, at most ${JSON_LIMIT} are accepted`);
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new FormatError(code, `${what} is not JSON`, { cause });
  }
  const parsed = schema.safeParse(json);
  if (!parsed.success) throw new FormatError(code, `${what}: ${z.prettifyError(parsed.error)}`, { cause: parsed.error });
  return parsed.data;
}
