// Images in a repository: found by tag or digest, opened with every digest checked, listed and shown.
import { BridgeError, NoImageError, NotFoundError } from '../../errors.js';
import { erofsVersions } from '../../repository/meta.js';
import type { ObjectId } from '../../fsverity/object-id.js';
import { configContentId, configRefName, manifestContentId, referrersOf, STREAMS } from '../../repository/names.js';
import type { Repository } from '../../repository/repository.js';
import { CONTENT_TYPES } from '../../repository/splitstream/format.js';
import { listTagNames, readTag } from '../../repository/tags.js';
import { decodeRefName } from '../../repository/ref-name.js';
import { imageRefName } from './refs.js';
import { readJsonStream, type JsonStream } from './json-stream.js';
import {
  checkDigest,
  isContainerImage,
  isDigest,
  parseConfig,
  parseManifest,
  type ImageConfig,
  type Manifest,
} from '../../spec/manifest.js';

/** A config as it is stored. Its named references are layers (by diff_id) and EROFS images. */
export interface StoredConfig extends JsonStream {
  readonly digest: string;
}

/** A manifest and its config as they are stored. */
export interface RepositoryImage {
  readonly digest: string;
  readonly manifest: Manifest;
  readonly manifestStream: JsonStream;
  readonly configStream: StoredConfig;
  /** undefined for an artifact */
  readonly config: ImageConfig | undefined;
}

/** One line of a list of images. */
export interface ImageSummary {
  readonly name: string;
  readonly manifestDigest: string;
  /** otherwise it is an artifact */
  readonly isContainer: boolean;
  readonly architecture: string;
  readonly os: string;
  readonly created: string | undefined;
  readonly layerCount: number;
  readonly referrerCount: number;
}

/**
 * The manifest digest a reference means: `@sha256:…` is one, anything else is a tag.
 * @throws NotFoundError for a tag that is not there or text after `@` that is no digest
 */
export function resolveReference(repository: Repository, reference: string): string {
  if (reference.startsWith('@')) {
    const digest = reference.slice(1);
    if (!isDigest(digest))
      throw new NotFoundError(`"${reference}" is not a digest; expected @sha256: and 64 hex digits`);
    return digest;
  }
  const digest = readTag(repository, reference);
  if (digest === undefined) throw new NoImageError(`there is no image "${reference}" in the repository`);
  return digest;
}

/**
 * Opens an image by tag or `@` and manifest digest.
 * @throws NotFoundError, FormatError, DigestMismatchError
 * @example
 * ```ts
 * import { openImage, Repository } from 'composefs-bridge';
 *
 * using repository = await Repository.open('/var/lib/images');
 * const { config } = await openImage(repository, 'debian');
 * console.log(config?.rootfs.diff_ids); // [ 'sha256:…' ]
 * ```
 */
export async function openImage(repository: Repository, reference: string): Promise<RepositoryImage> {
  const digest = resolveReference(repository, reference);
  const stream = repository.streamObject(manifestContentId(digest));
  if (stream === undefined) throw new NoImageError(`there is no manifest ${digest} in the repository`);
  const manifestStream = await readJsonStream(repository, stream, CONTENT_TYPES.manifest);
  checkDigest(`manifest of ${reference}`, digest, manifestStream.bytes);
  const manifest = parseManifest(manifestStream.bytes);
  const configStream = await readConfig(
    repository,
    manifest.config.digest,
    manifestStream.namedRefs.get(configRefName(manifest.config.digest)),
  );
  return {
    digest,
    manifest,
    manifestStream,
    configStream,
    config: isContainerImage(manifest, configStream.bytes) ? parseConfig(configStream.bytes) : undefined,
  };
}

/** The stream of a layer, by its diff_id, or of a blob that was kept. */
export function streamOf(
  { manifestStream, configStream }: Pick<RepositoryImage, 'manifestStream' | 'configStream'>,
  digest: string,
): ObjectId | undefined {
  return manifestStream.namedRefs.get(digest) ?? configStream.namedRefs.get(digest);
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

/**
 * All tagged images, sorted by name, and the tags whose image cannot be read.
 * @example
 * ```ts
 * import { listImages, Repository } from 'composefs-bridge';
 *
 * using repository = await Repository.open('/var/lib/images');
 * const { images, unreadable } = await listImages(repository);
 * for (const { name, layerCount } of images) console.log(name, layerCount); // debian 1
 * for (const { name, error } of unreadable) console.error(name, error);
 * ```
 */
export async function listImages(
  repository: Repository,
): Promise<{ images: ImageSummary[]; unreadable: { name: string; error: unknown }[] }> {
  const images: ImageSummary[] = [];
  const unreadable: { name: string; error: unknown }[] = [];
  for (const name of listTagNames(repository).map(decodeRefName)) {
    try {
      images.push(summarize(repository, name, await openImage(repository, name)));
    } catch (error) {
      unreadable.push({ name, error });
    }
  }
  return { images, unreadable };
}

/** What is known of an image: the exact texts of its documents, and which EROFS images there are. */
export interface ImageDetails {
  readonly manifest: string;
  readonly config: string;
  /** digests of the manifests of artifacts that belong to it */
  readonly referrers: readonly string[];
  readonly erofs: ObjectId | undefined;
  readonly bootErofs: ObjectId | undefined;
}

/**
 * @example
 * ```ts
 * import { inspectImage, openImage, Repository } from 'composefs-bridge';
 *
 * using repository = await Repository.open('/var/lib/images');
 * const { config, erofs } = inspectImage(repository, await openImage(repository, 'debian'));
 * console.log(JSON.parse(config).architecture, erofs); // amd64 …
 * ```
 */
export function inspectImage(repository: Repository, image: RepositoryImage): ImageDetails {
  return {
    manifest: image.manifestStream.bytes.toString('utf8'),
    config: image.configStream.bytes.toString('utf8'),
    referrers: referrers(repository, image.digest),
    erofs: erofsImage(repository, image.configStream),
    bootErofs: erofsImage(repository, image.configStream, true),
  };
}

/** Details in the members of cfsctl's JSON, which are those of its varlink reply, too. */
export function detailsJson({ manifest, config, referrers, erofs, bootErofs }: ImageDetails) {
  return {
    manifest,
    config,
    referrers: [...referrers],
    composefs_erofs: erofs ?? null,
    composefs_boot_erofs: bootErofs ?? null,
  };
}

/** A line in the members of cfsctl's JSON, which are those of its varlink reply, too. */
export function summaryJson(image: ImageSummary) {
  return {
    name: image.name,
    manifest_digest: image.manifestDigest,
    is_container: image.isContainer,
    architecture: image.architecture,
    os: image.os,
    created: image.created ?? null,
    layer_count: image.layerCount,
    referrer_count: image.referrerCount,
  };
}

/** Digests of the artifact manifests that say they belong to a manifest. */
export function referrers(repository: Repository, digest: string): string[] {
  return repository.listRefs(STREAMS, referrersOf(digest));
}

function summarize(repository: Repository, name: string, image: RepositoryImage): ImageSummary {
  return {
    name,
    manifestDigest: image.digest,
    isContainer: image.config !== undefined,
    architecture: image.config?.architecture ?? '',
    os: image.config?.os ?? '',
    created: image.config?.created ?? undefined,
    layerCount: image.manifest.layers.length,
    referrerCount: referrers(repository, image.digest).length,
  };
}

async function readConfig(repository: Repository, digest: string, stream: ObjectId | undefined): Promise<StoredConfig> {
  if (stream === undefined) throw new NotFoundError(`there is no config ${digest} in the repository`);
  const config = await readJsonStream(repository, stream, CONTENT_TYPES.config);
  checkDigest('config', digest, config.bytes);
  return { ...config, digest };
}
