// Checks that every tagged image is complete and is what its digests say.
import { BridgeError, NotFoundError } from '../errors.js';
import { countLine, describeFsckError, errorLines, fsckJson, fsckText, type FsckCount, type FsckError, type FsckJson, type FsckReport } from '../repository/fsck-report.js';
import { fsckRepository, type FsckOptions } from '../repository/fsck.js';
import type { ObjectId } from '../repository/object-id.js';
import type { Repository } from '../repository/repository.js';
import { CONTENT_TYPES } from '../repository/splitstream-format.js';
import { decodeTag, listTagNames, readTag } from '../repository/tags.js';
import { layerContentId, manifestContentId } from './image.js';
import { imageRefs } from './image-refs.js';
import { readJsonStream, type JsonStream } from './json-stream.js';
import { digestLike, isContainerImage, isDigest, parseConfig, parseManifest, type ImageConfig, type Manifest } from './manifest.js';
import { ImageRebuild } from './rebuild-image.js';

/** Names the EROFS image that a sealed image was built for. */
const SEAL_LABEL = 'containers.composefs.fsverity';

export type ImageFsckKind =
  | 'ref-resolve-failed' | 'invalid-ref-name'
  | 'manifest-read-failed' | 'manifest-digest-mismatch' | 'manifest-parse-failed'
  | 'config-ref-missing' | 'config-read-failed' | 'config-digest-mismatch' | 'config-parse-failed'
  | 'layer-ref-missing' | 'layer-stream-missing' | 'layer-check-failed' | 'layer-object-missing' | 'seal-image-missing'
  | 'artifact-layer-ref-missing' | 'artifact-layer-object-missing'
  /** not of cfsctl: the EROFS image is another one than the layers give */
  | 'image-differs';

export interface ImageFsckReport {
  ok: boolean;
  repository: FsckReport;
  images: FsckCount;
  errors: FsckError<ImageFsckKind>[];
}

/**
 * Checks the repository, and then one tagged image or all of them.
 * @param tag undefined for all; one that does not exist is an error of the report
 */
export async function fsckImages(repository: Repository, tag: string | undefined, options: FsckOptions = {}): Promise<ImageFsckReport> {
  const report = await fsckRepository(repository, options);
  const images = { checked: 0, corrupted: 0 };
  const errors: FsckError<ImageFsckKind>[] = [];
  // Tags often share an image, and making its EROFS image anew takes most of the time.
  const known: KnownImages = new Map();
  for (const name of tag === undefined ? listTagNames(repository).map(decodeTag) : [tag]) {
    options.signal?.throwIfAborted();
    const found = await checkImage(repository, name, known, options.signal);
    images.checked++;
    if (found.length > 0) images.corrupted++;
    errors.push(...found.map(({ kind, detail }) => ({ kind, path: name, ...(detail !== undefined && { detail }) })));
  }
  return { ok: report.ok && errors.length === 0, repository: report, images, errors };
}

/** What `oci fsck` prints, with a final newline. */
export function imageFsckText({ repository, images, errors }: ImageFsckReport): string {
  const lines = [countLine('oci images', images), ...(errors.length > 0 ? [`oci errors: ${errors.length}`] : []), ...errorLines(errors)];
  return `${fsckText(repository)}${lines.join('\n')}\n`;
}

/** The members of cfsctl's JSON, which are those of its varlink reply, too. */
export interface ImageFsckJson {
  ok: boolean;
  images_checked: number;
  images_corrupted: number;
  errors: string[];
  repo: FsckJson;
}

/** What `oci fsck --json` prints, as a value. */
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

/** What was found about the EROFS images of a config, by its stream. */
type KnownImages = Map<ObjectId, Finding[]>;

async function checkImage(repository: Repository, tag: string, known: KnownImages, signal: AbortSignal | undefined): Promise<Finding[]> {
  try {
    const digest = resolve(repository, tag);
    const manifest = await readManifest(repository, digest);
    const config = await readConfig(repository, manifest.manifest, manifest.stream);
    if (config === undefined) return checkArtifact(repository, manifest.manifest, manifest.stream);
    const layers = checkLayers(repository, config.config, config.stream);
    const { stream } = config.stream;
    const images = layers.length > 0 ? [] : (known.get(stream) ?? (await checkErofs(repository, config.config, config.stream, signal)));
    known.set(stream, images);
    return [...layers, ...images, ...checkSeal(repository, config.config)];
  } catch (error) {
    if (error instanceof Found) return [error.finding];
    throw error;
  }
}

/** Ends the check of an image: nothing after it can be looked at. */
class Found extends Error {
  constructor(readonly finding: Finding) {
    super(finding.kind);
  }
}

function resolve(repository: Repository, tag: string): string {
  // What starts with @ is a digest elsewhere, and never a tag.
  const digest = tag.startsWith('@') ? undefined : attempt('ref-resolve-failed', () => readTag(repository, tag));
  if (digest === undefined) throw new Found({ kind: 'ref-resolve-failed', detail: `OCI reference not found: ${tag}` });
  if (!isDigest(digest)) throw new Found({ kind: 'invalid-ref-name', detail: digest });
  return digest;
}

async function readManifest(repository: Repository, digest: string): Promise<{ manifest: Manifest; stream: JsonStream }> {
  const stream = await attemptRead('manifest-read-failed', async () => {
    const id = repository.streamObject(manifestContentId(digest));
    if (id === undefined) throw new NotFoundError(`there is no stream 'oci-manifest-${digest}'`);
    return readJsonStream(repository, id, CONTENT_TYPES.manifest);
  });
  checkDigest('manifest-digest-mismatch', digest, stream.bytes);
  return { manifest: attempt('manifest-parse-failed', () => parseManifest(stream.bytes)), stream };
}

/** @returns undefined for an artifact, whose config is anything or nothing */
async function readConfig(repository: Repository, manifest: Manifest, from: JsonStream): Promise<{ config: ImageConfig; stream: JsonStream } | undefined> {
  const { digest } = manifest.config;
  const id = from.namedRefs.get(`config:${digest}`);
  if (id === undefined) throw new Found({ kind: 'config-ref-missing', detail: digest });
  const stream = await attemptRead('config-read-failed', () => readJsonStream(repository, id, CONTENT_TYPES.config));
  checkDigest('config-digest-mismatch', digest, stream.bytes);
  return isContainerImage(manifest) ? { config: attempt('config-parse-failed', () => parseConfig(stream.bytes)), stream } : undefined;
}

function checkLayers(repository: Repository, config: ImageConfig, stream: JsonStream): Finding[] {
  return [...new Set(config.rootfs.diff_ids)].flatMap((diffId): Finding[] => {
    const id = stream.namedRefs.get(diffId);
    if (id === undefined) return [{ kind: 'layer-ref-missing', detail: diffId }];
    try {
      if (repository.streamObject(layerContentId(diffId)) === undefined) return [{ kind: 'layer-stream-missing', detail: diffId }];
    } catch (error) {
      return [{ kind: 'layer-check-failed', detail: `${diffId}: ${messageOf(error)}` }];
    }
    return repository.objects.has(id) ? [] : [{ kind: 'layer-object-missing', detail: `${diffId}: ${id}` }];
  });
}

/** Whether the EROFS images are, byte for byte, what the layers give. */
async function checkErofs(repository: Repository, config: ImageConfig, stream: JsonStream, signal: AbortSignal | undefined): Promise<Finding[]> {
  const rebuild = new ImageRebuild(repository, stream.namedRefs, config, signal);
  const findings: Finding[] = [];
  try {
    for (const [name, id] of imageRefs(stream.namedRefs)) {
      const rebuilt = await rebuild.make(name, id);
      if (rebuilt !== undefined && rebuilt.id !== id) findings.push({ kind: 'image-differs', detail: `${name}: ${id} instead of ${rebuilt.id}` });
    }
  } catch (error) {
    if (!(error instanceof BridgeError)) throw error;
    findings.push({ kind: 'layer-check-failed', detail: error.message });
  }
  return findings;
}

function checkSeal(repository: Repository, config: ImageConfig): Finding[] {
  const seal = config.config?.Labels?.[SEAL_LABEL];
  return seal === undefined || repository.listImages().includes(seal) ? [] : [{ kind: 'seal-image-missing', detail: seal }];
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
  if (actual !== expected) throw new Found({ kind, detail: `expected ${expected}, got ${actual}` });
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
  return error instanceof BridgeError ? new Found({ kind, detail: error.message }) : error;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
