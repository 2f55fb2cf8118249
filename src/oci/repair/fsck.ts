// Checks that every tagged image is complete and is what its digests say.
import { BridgeError, NotFoundError } from '../../errors.js';
import { fsckJson, type FsckCount, type FsckJson, type FsckReport } from '../../repository/fsck/report.js';
import { describeFsckError, type FsckError } from '../../repository/fsck/findings.js';
import { fsckRepository, type FsckOptions } from '../../repository/fsck/fsck.js';
import { commitCheck } from '../../ostree/fsck.js';
import type { ObjectId } from '../../fsverity/object-id.js';
import type { Repository } from '../../repository/repository.js';
import { CONTENT_TYPES } from '../../repository/splitstream/format.js';
import { listTagNames, readTag } from '../../repository/tags.js';
import { decodeRefName } from '../../repository/ref-name.js';
import { configRefName, layerContentId, manifestContentId } from '../../repository/names.js';
import { readJsonStream, type JsonStream } from '../image/json-stream.js';
import {
  digestLike,
  isContainerImage,
  isDigest,
  parseConfig,
  parseManifest,
  type ImageConfig,
  type Manifest,
} from '../../spec/manifest.js';
import { verifyLayerStream } from '../pull/verified.js';
import { ImageRebuild } from '../image/rebuild-image.js';
import { imageRefs, sealOf } from '../image/refs.js';

export type ImageFsckKind =
  | 'ref-resolve-failed'
  | 'invalid-ref-name'
  | 'manifest-read-failed'
  | 'manifest-digest-mismatch'
  | 'manifest-parse-failed'
  | 'config-ref-missing'
  | 'config-read-failed'
  | 'config-digest-mismatch'
  | 'config-parse-failed'
  | 'layer-ref-missing'
  | 'layer-stream-missing'
  | 'layer-check-failed'
  | 'layer-object-missing'
  | 'seal-image-missing'
  | 'artifact-layer-ref-missing'
  | 'artifact-layer-object-missing'
  /** not of cfsctl: the EROFS image is another one than the layers give */
  | 'image-differs';

export interface ImageFsckReport {
  readonly ok: boolean;
  readonly repository: FsckReport;
  readonly images: FsckCount;
  readonly errors: readonly FsckError<ImageFsckKind>[];
}

/**
 * Checks the repository, and then one tagged image or all of them.
 * @param tag undefined for all; one that does not exist is an error of the report
 * @example
 * ```ts
 * import { fsckImages, Repository } from 'composefs-bridge';
 *
 * using repository = await Repository.open('/var/lib/images');
 * const { ok, images } = await fsckImages(repository, 'debian', { metadataOnly: true });
 * console.log(ok, images.checked); // true 1
 * ```
 */
export async function fsckImages(
  repository: Repository,
  tag: string | undefined,
  options: FsckOptions = {},
): Promise<ImageFsckReport> {
  const checkCommit = commitCheck(repository, options.metadataOnly === true);
  const report = await fsckRepository(repository, { checkCommit, ...options });
  const images = { checked: 0, corrupted: 0 };
  const errors: FsckError<ImageFsckKind>[] = [];
  // Tags often share an image, and making its EROFS image anew takes most of the time.
  const known = new KnownFindings(repository, options);
  for (const name of tag === undefined ? listTagNames(repository).map(decodeRefName) : [tag]) {
    options.signal?.throwIfAborted();
    const found = await checkImage(repository, name, known);
    images.checked++;
    if (found.length > 0) images.corrupted++;
    errors.push(...found.map(({ kind, detail }) => ({ kind, path: name, ...(detail !== undefined && { detail }) })));
  }
  return { ok: report.ok && errors.length === 0, repository: report, images, errors };
}

/** The members of cfsctl's JSON, which are those of its varlink reply, too. */
export interface ImageFsckJson {
  ok: boolean;
  images_checked: number;
  images_corrupted: number;
  errors: string[];
  repo: FsckJson;
}

/** A report in these words. */
export function imageFsckJson({ ok, repository, images, errors }: ImageFsckReport): ImageFsckJson {
  return {
    ok,
    images_checked: images.checked,
    images_corrupted: images.corrupted,
    errors: errors.map(describeFsckError),
    repo: fsckJson(repository),
  };
}

interface Finding {
  kind: ImageFsckKind;
  detail?: string;
}

/** What takes long is found out once, however many tags and images have it. */
class KnownFindings {
  readonly #repository: Repository;
  readonly #options: FsckOptions;
  readonly #images = new Map<ObjectId, Finding[]>();
  readonly #tars = new Map<string, Finding[]>();

  constructor(repository: Repository, options: FsckOptions) {
    this.#repository = repository;
    this.#options = options;
  }

  /** About the EROFS images of a config. */
  async images(config: ImageConfig, stream: JsonStream): Promise<Finding[]> {
    const findings =
      this.#images.get(stream.stream) ?? (await checkErofs(this.#repository, config, stream, this.#options.signal));
    this.#images.set(stream.stream, findings);
    return findings;
  }

  /** About the tars of an image's layers: marks say what was found out once, by their maker. */
  async tars(config: ImageConfig, stream: JsonStream): Promise<Finding[]> {
    if (this.#options.metadataOnly === true) return [];
    const findings: Finding[] = [];
    for (const diffId of new Set(config.rootfs.diff_ids))
      findings.push(...(await this.#tar(diffId, stream.namedRefs.get(diffId) as ObjectId)));
    return findings;
  }

  async #tar(diffId: string, id: ObjectId): Promise<Finding[]> {
    const key = `${diffId} ${id}`;
    const findings = this.#tars.get(key) ?? (await checkTar(this.#repository, diffId, id, this.#options.signal));
    this.#tars.set(key, findings);
    return findings;
  }
}

async function checkImage(repository: Repository, tag: string, known: KnownFindings): Promise<Finding[]> {
  try {
    const digest = resolve(repository, tag);
    const manifest = await readManifest(repository, digest);
    const config = await readConfig(repository, manifest.manifest, manifest.stream);
    if (config === undefined) return checkArtifact(repository, manifest.manifest, manifest.stream);
    const layers = checkLayers(repository, config.config, config.stream);
    if (layers.length > 0) return [...layers, ...checkSeal(repository, config.config)];
    const tars = await known.tars(config.config, config.stream);
    const images = tars.length > 0 ? [] : await known.images(config.config, config.stream);
    return [...tars, ...images, ...checkSeal(repository, config.config)];
  } catch (error) {
    if (error instanceof EndOfCheck) return [error.finding];
    throw error;
  }
}

/** Ends the check of an image: nothing after it can be looked at. */
class EndOfCheck extends Error {
  constructor(readonly finding: Finding) {
    super(finding.kind);
  }
}

function resolve(repository: Repository, tag: string): string {
  // What starts with @ is a digest elsewhere, and never a tag.
  const digest = tag.startsWith('@') ? undefined : attempt('ref-resolve-failed', () => readTag(repository, tag));
  if (digest === undefined)
    throw new EndOfCheck({ kind: 'ref-resolve-failed', detail: `OCI reference not found: ${tag}` });
  if (!isDigest(digest)) throw new EndOfCheck({ kind: 'invalid-ref-name', detail: digest });
  return digest;
}

async function readManifest(
  repository: Repository,
  digest: string,
): Promise<{ manifest: Manifest; stream: JsonStream }> {
  const stream = await attemptRead('manifest-read-failed', async () => {
    const id = repository.streamObject(manifestContentId(digest));
    if (id === undefined) throw new NotFoundError(`there is no stream '${manifestContentId(digest)}'`);
    return readJsonStream(repository, id, CONTENT_TYPES.manifest);
  });
  checkDigest('manifest-digest-mismatch', digest, stream.bytes);
  return { manifest: attempt('manifest-parse-failed', () => parseManifest(stream.bytes)), stream };
}

/** @returns undefined for an artifact, whose config is anything or nothing */
async function readConfig(
  repository: Repository,
  manifest: Manifest,
  from: JsonStream,
): Promise<{ config: ImageConfig; stream: JsonStream } | undefined> {
  const { digest } = manifest.config;
  const id = from.namedRefs.get(configRefName(digest));
  if (id === undefined) throw new EndOfCheck({ kind: 'config-ref-missing', detail: digest });
  const stream = await attemptRead('config-read-failed', () => readJsonStream(repository, id, CONTENT_TYPES.config));
  checkDigest('config-digest-mismatch', digest, stream.bytes);
  return isContainerImage(manifest, stream.bytes)
    ? { config: attempt('config-parse-failed', () => parseConfig(stream.bytes)), stream }
    : undefined;
}

function checkLayers(repository: Repository, config: ImageConfig, stream: JsonStream): Finding[] {
  return [...new Set(config.rootfs.diff_ids)].flatMap((diffId): Finding[] => {
    const id = stream.namedRefs.get(diffId);
    if (id === undefined) return [{ kind: 'layer-ref-missing', detail: diffId }];
    try {
      if (repository.streamObject(layerContentId(diffId)) === undefined)
        return [{ kind: 'layer-stream-missing', detail: diffId }];
    } catch (error) {
      return [{ kind: 'layer-check-failed', detail: `${diffId}: ${messageOf(error)}` }];
    }
    return repository.objects.has(id) ? [] : [{ kind: 'layer-object-missing', detail: `${diffId}: ${id}` }];
  });
}

/** Images with a config of type application/octet-stream were artifacts in earlier versions. */
const AS_ARTIFACT = '; an earlier version stored this image as an artifact: pull it again';

/** Whether the layer's tar is, byte for byte, what its diff_id says. */
async function checkTar(
  repository: Repository,
  diffId: string,
  id: ObjectId,
  signal: AbortSignal | undefined,
): Promise<Finding[]> {
  try {
    await verifyLayerStream(repository, diffId, id, { signal });
    return [];
  } catch (error) {
    signal?.throwIfAborted();
    // What is missing was found with the streams.
    if (error instanceof NotFoundError) return [];
    if (!(error instanceof BridgeError)) throw error;
    const advice = error.code === 'CONTENT_TYPE' ? AS_ARTIFACT : '';
    return [{ kind: 'layer-check-failed', detail: `${diffId}: ${error.message}${advice}` }];
  }
}

/** Whether the EROFS images are, byte for byte, what the layers give. */
async function checkErofs(
  repository: Repository,
  config: ImageConfig,
  stream: JsonStream,
  signal: AbortSignal | undefined,
): Promise<Finding[]> {
  const rebuild = new ImageRebuild(repository, stream.namedRefs, config, signal);
  const findings: Finding[] = [];
  try {
    for (const [name, id] of imageRefs(stream.namedRefs)) {
      const rebuilt = await rebuild.make(name, id);
      if (rebuilt !== undefined && rebuilt.id !== id)
        findings.push({ kind: 'image-differs', detail: `${name}: ${id} instead of ${rebuilt.id}` });
    }
  } catch (error) {
    if (!(error instanceof BridgeError)) throw error;
    findings.push({ kind: 'layer-check-failed', detail: error.message });
  }
  return findings;
}

function checkSeal(repository: Repository, config: ImageConfig): Finding[] {
  const seal = sealOf(config);
  return seal === undefined || repository.listImages().includes(seal)
    ? []
    : [{ kind: 'seal-image-missing', detail: seal }];
}

function checkArtifact(repository: Repository, manifest: Manifest, stream: JsonStream): Finding[] {
  return manifest.layers.flatMap(({ digest }): Finding[] => {
    const id = stream.namedRefs.get(digest);
    if (id === undefined) return [{ kind: 'artifact-layer-ref-missing', detail: digest }];
    return repository.objects.has(id) ? [] : [{ kind: 'artifact-layer-object-missing', detail: `${digest}: ${id}` }];
  });
}

function checkDigest(kind: ImageFsckKind, expected: string, bytes: Buffer): void {
  const actual = digestLike(expected, bytes);
  if (actual !== expected) throw new EndOfCheck({ kind, detail: `expected ${expected}, got ${actual}` });
}

function attempt<T>(kind: ImageFsckKind, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw found(kind, error);
  }
}

async function attemptRead<T>(kind: ImageFsckKind, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw found(kind, error);
  }
}

/** What the repository is to blame for is a finding; anything else stays an error. */
function found(kind: ImageFsckKind, error: unknown): unknown {
  return error instanceof BridgeError ? new EndOfCheck({ kind, detail: error.message }) : error;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
