// Images in a repository: found by tag or digest, opened with every digest checked, listed and shown.
import { bytesOf } from '../bytes.js';
import { BridgeError, NotFoundError } from '../errors.js';
import { erofsVersions } from '../repository/meta.js';
import type { ObjectId } from '../repository/object-id.js';
import type { Repository } from '../repository/repository.js';
import { CONTENT_TYPES } from '../repository/splitstream-format.js';
import { decodeTag, listTagNames, readTag } from '../repository/tags.js';
import { imageRefName } from './image-refs.js';
import { readJsonStream, type JsonStream } from './json-stream.js';
import { checkDigest, isContainerImage, isDigest, parseConfig, parseManifest, type ImageConfig, type Manifest } from './manifest.js';

/** A config as it is stored. Its named references are layers (by diff_id) and EROFS images. */
export interface StoredConfig extends JsonStream {
  digest: string;
}

/** A manifest and its config as they are stored. */
export interface StoredImage {
  digest: string;
  manifest: Manifest;
  manifestStream: JsonStream;
  configStream: StoredConfig;
  /** undefined for an artifact */
  config: ImageConfig | undefined;
}

/** One line of a list of images; the members of `cfsctl oci images --json`. */
export interface ImageSummary {
  name: string;
  manifest_digest: string;
  is_container: boolean;
  architecture: string;
  os: string;
  created: string | null;
  layer_count: number;
  referrer_count: number;
}

export function layerContentId(diffId: string): string {
  return bytesOf(`oci-layer-${diffId}`);
}

export function configContentId(digest: string): string {
  return bytesOf(`oci-config-${digest}`);
}

export function manifestContentId(digest: string): string {
  return bytesOf(`oci-manifest-${digest}`);
}

/**
 * The manifest digest a reference means: `@sha256:…` is one, anything else is a tag.
 * @throws NotFoundError for a tag that is not there or text after `@` that is no digest
 */
export function resolveReference(repository: Repository, reference: string): string {
  if (reference.startsWith('@')) {
    const digest = reference.slice(1);
    if (!isDigest(digest)) throw new NotFoundError(`"${reference}" is not a digest; expected @sha256: and 64 hex digits`);
    return digest;
  }
  const digest = readTag(repository, reference);
  if (digest === undefined) throw new NotFoundError(`there is no image "${reference}" in the repository`);
  return digest;
}

/**
 * Opens an image by tag or `@` and manifest digest.
 * @throws NotFoundError, FormatError, DigestMismatchError
 */
export async function openImage(repository: Repository, reference: string): Promise<StoredImage> {
  const digest = resolveReference(repository, reference);
  const stream = repository.streamObject(manifestContentId(digest));
  if (stream === undefined) throw new NotFoundError(`there is no manifest ${digest} in the repository`);
  const manifestStream = await readJsonStream(repository, stream, CONTENT_TYPES.manifest);
  checkDigest(`manifest of ${reference}`, digest, manifestStream.bytes);
  const manifest = parseManifest(manifestStream.bytes);
  const configStream = await readConfig(repository, manifest.config.digest, manifestStream.namedRefs.get(`config:${manifest.config.digest}`));
  return { digest, manifest, manifestStream, configStream, config: isContainerImage(manifest) ? parseConfig(configStream.bytes) : undefined };
}

/** What is said when an artifact is asked for its files. */
export function notAnImage(reference: string): BridgeError {
  return new BridgeError('NOT_AN_IMAGE', `"${reference}" is an artifact and no container image: it has no file tree`);
}

/**
 * Opens a config by its digest, without a manifest.
 * @param digest `sha256:…`
 * @throws NotFoundError, FormatError, DigestMismatchError
 */
export async function openConfig(repository: Repository, digest: string): Promise<StoredConfig> {
  return readConfig(repository, digest, repository.streamObject(configContentId(digest)));
}

/** The streams of the layers that a config lists, by diff_id; what it has no reference to is left out. */
export function layerStreams(config: ImageConfig, { namedRefs }: Pick<JsonStream, 'namedRefs'>): Map<string, ObjectId> {
  return new Map(
    config.rootfs.diff_ids.flatMap((diffId) => {
      const stream = namedRefs.get(diffId);
      return stream === undefined ? [] : [[diffId, stream] as const];
    }),
  );
}

/** The EROFS image of a config in the repository's own version, or undefined. */
export function erofsImage(repository: Repository, config: JsonStream, boot = false): ObjectId | undefined {
  const [version = 1] = erofsVersions(repository.meta);
  return config.namedRefs.get(imageRefName({ version, boot, keepUserXattrs: false }));
}

/** All tagged images, sorted by name, and the tags whose image cannot be read. */
export async function listImages(repository: Repository): Promise<{ images: ImageSummary[]; unreadable: { name: string; error: unknown }[] }> {
  const images: ImageSummary[] = [];
  const unreadable: { name: string; error: unknown }[] = [];
  for (const name of listTagNames(repository).map(decodeTag)) {
    try {
      images.push(summarize(repository, name, await openImage(repository, name)));
    } catch (error) {
      unreadable.push({ name, error });
    }
  }
  return { images, unreadable };
}

/** What `oci inspect` prints: the JSON texts, and which EROFS images there are. */
export function inspectImage(repository: Repository, image: StoredImage): string {
  const shown = {
    manifest: image.manifestStream.bytes.toString('utf8'),
    config: image.configStream.bytes.toString('utf8'),
    referrers: referrers(repository, image.digest),
    composefs_erofs: erofsImage(repository, image.configStream) ?? null,
    composefs_boot_erofs: erofsImage(repository, image.configStream, true) ?? null,
  };
  return `${JSON.stringify(shown, undefined, 2)}\n`;
}

/** Digests of the artifact manifests that say they belong to a manifest. */
export function referrers(repository: Repository, digest: string): string[] {
  return repository.listRefs('streams', bytesOf(`oci-referrers/${digest}`));
}

function summarize(repository: Repository, name: string, image: StoredImage): ImageSummary {
  return {
    name,
    manifest_digest: image.digest,
    is_container: image.config !== undefined,
    architecture: image.config?.architecture ?? '',
    os: image.config?.os ?? '',
    created: image.config?.created ?? null,
    layer_count: image.manifest.layers.length,
    referrer_count: referrers(repository, image.digest).length,
  };
}

async function readConfig(repository: Repository, digest: string, stream: ObjectId | undefined): Promise<StoredConfig> {
  if (stream === undefined) throw new NotFoundError(`there is no config ${digest} in the repository`);
  const config = await readJsonStream(repository, stream, CONTENT_TYPES.config);
  checkDigest('config', digest, config.bytes);
  return { ...config, digest };
}
