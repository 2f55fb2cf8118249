// A delta of two images: an artifact with what the new one has and the old one has not.
import { BridgeError, FormatError } from '../../errors.js';
import type { Fd } from '../../fd/fd.js';
import { PushNotes } from '../../repository/push-notes.js';
import type { Repository } from '../../repository/repository.js';
import { DELTA_TYPE } from '../../spec/delta.js';
import { LAYER_TYPES } from '../../spec/layer-types.js';
import type { BlobFacts, Descriptor } from '../../spec/manifest.js';
import { notAnImage, openImage, streamOf, type RepositoryImage } from '../image/image.js';
import { tarSize } from '../image/repository-layer.js';
import type { Destination } from '../push/destination/destination.js';
import { isRegistryDestination, openDestination } from '../push/destination/open.js';
import { bytesBlob, CompressedLayer, fileBlob, storedBlob, type OutgoingBlob } from '../push/outgoing-blob.js';
import { compressionOf } from '../push/outgoing-manifest.js';
import { namelessFile } from '../source/blobs/nameless-copy.js';
import { deltaAnnotations, deltaManifest, EMPTY_CONFIG, emptyConfigFacts, type DeltaBlob } from './artifact.js';
import { DeltaBase } from './base.js';
import { checkDeltaDestination } from './check-destination.js';
import { packLayer, type LayerParts } from './pack-layer.js';
import { SourceFiles } from './source-files.js';
import type { CreateDeltaOptions, CreateDeltaResult, DeltaLayerReport } from './types.js';

/** A delta is made once and fetched often. */
const LEVEL = 12;
const HIGHEST_LEVEL = 19;

/**
 * Makes what turns one image into another, for programs that have the first: an artifact that `oci pull` of this
 * program and of cfsctl, and oci-delta, apply. It holds manifest and config of the new image, and a patch for each
 * layer that the old one does not have. Content comes from the repository and does not pass through JavaScript; the
 * same two images give the same bytes. Patches are in a nameless file in TMPDIR, or /var/tmp, until they are sent.
 * Memory: 64 MiB of changed files, and what they become, and 256 MiB of the files that they were; only a file that was
 * longer takes more, and is read whole.
 * @param from the old image: a tag, or `@` and the digest of a manifest
 * @param to the new one, the same way
 * @param destination as `oci:DIR[:NAME]`, `oci-archive:FILE[:NAME]`, or `docker://HOST/PATH`, where it refers to the
 *   new image
 * @throws NotFoundError, FormatError, DigestMismatchError for what is not in the repository, or damaged there;
 *   BridgeError `NOT_AN_IMAGE`, `COMPRESSION_LEVEL`, `NO_SPACE`; FormatError `BAD_REFERENCE`; RegistryError, HttpError;
 *   the signal's reason
 * @example
 * ```ts
 * import { createDelta, Repository } from 'composefs-bridge';
 *
 * using repository = await Repository.open('/var/lib/images');
 * const { manifestDigest, layers } = await createDelta(repository, 'base', 'debian', 'oci:/srv/delta-to-debian');
 * console.log(layers.length, manifestDigest); // 1 sha256:…
 * ```
 */
export async function createDelta(
  repository: Repository,
  from: string,
  to: string,
  destination: string,
  options: CreateDeltaOptions = {},
): Promise<CreateDeltaResult> {
  checkDeltaDestination(destination);
  const { compressionLevel: level = LEVEL } = options;
  if (!Number.isInteger(level) || level < 1 || level > HIGHEST_LEVEL)
    throw new BridgeError('COMPRESSION_LEVEL', `zstd has the levels 1 to ${HIGHEST_LEVEL}, not ${level}`);
  const [source, target] = [await openImage(repository, from), await openImage(repository, to)];
  if (source.config === undefined) throw notAnImage(from);
  if (target.config === undefined) throw notAnImage(to);
  using notes = repository.believed ? PushNotes.open(repository.root) : undefined;
  await using place = await openDestination(destination, { registry: options.registry, mountFrom: [], notes });
  const creation = new Creation(repository, source, target, place, { ...options, compressionLevel: level });
  return await creation.run(isRegistryDestination(destination));
}

interface NewLayer {
  descriptor: Descriptor;
  diffId: string;
}

class Creation {
  readonly #repository: Repository;
  readonly #from: RepositoryImage;
  readonly #to: RepositoryImage;
  readonly #place: Destination;
  readonly #options: CreateDeltaOptions & { compressionLevel: number };
  readonly #signal: AbortSignal;
  #sent = 0;

  constructor(
    repository: Repository,
    from: RepositoryImage,
    to: RepositoryImage,
    place: Destination,
    options: CreateDeltaOptions & { compressionLevel: number },
  ) {
    this.#repository = repository;
    this.#from = from;
    this.#to = to;
    this.#place = place;
    this.#options = options;
    this.#signal = options.signal ?? new AbortController().signal;
  }

  async run(inRegistry: boolean): Promise<CreateDeltaResult> {
    const { manifest, config, configStream, manifestStream, digest } = this.#to;
    const layers = layersOf(this.#to);
    if ((await this.#place.hasManifest?.(digest, this.#signal)) === false)
      this.#options.onEvent?.({ kind: 'no-target', digest });
    const old = new Set(this.#from.config?.rootfs.diff_ids);
    const reused = layers.filter(({ diffId }) => old.has(diffId));
    const reports: DeltaLayerReport[] = reused.map((layer) => reportOf(layer, 'reused', 0, undefined));
    const blobs: DeltaBlob[] = [];
    const changed = layers.filter(({ diffId }) => !old.has(diffId));
    if (changed.length > 0) {
      const root = await new DeltaBase(this.#repository, this.#from.configStream.digest, this.#signal).root();
      const files = new SourceFiles(root);
      for (const layer of changed) {
        const { blob, report } = await this.#layer(layer, files);
        blobs.push(blob);
        reports.push(report);
        this.#options.onEvent?.({ kind: 'packed', layer: report });
      }
    }
    await this.#send(bytesBlob(digest, manifestStream.bytes));
    await this.#send(bytesBlob(configStream.digest, configStream.bytes));
    const empty = emptyConfigFacts();
    await this.#send(bytesBlob(empty.digest, EMPTY_CONFIG));
    const delta = deltaManifest({ from: this.#from, to: this.#to, layers: blobs, reused: named(reused) });
    if (inRegistry)
      await this.#place.putReferrer?.(
        {
          manifest: delta,
          subject: digest,
          artifactType: DELTA_TYPE,
          annotations: deltaAnnotations(this.#from, this.#to, named(reused)),
        },
        this.#signal,
      );
    else
      await this.#place.putImage(
        { manifest: delta, config: EMPTY_CONFIG, configDigest: empty.digest, diffIds: [] },
        this.#signal,
      );
    const order = new Map(config?.rootfs.diff_ids.map((diffId, index) => [diffId, index]));
    reports.sort((a, b) => (order.get(a.diffId) ?? 0) - (order.get(b.diffId) ?? 0));
    return {
      manifestDigest: delta.digest,
      sourceConfig: this.#from.configStream.digest,
      target: digest,
      size: this.#sent,
      fullSize:
        manifestStream.bytes.length +
        manifest.config.size +
        changed.reduce((sum, { descriptor: { size } }) => sum + size, 0),
      layers: reports,
    };
  }

  /** Makes a layer's part of the delta, and sends it. */
  async #layer(layer: NewLayer, files: SourceFiles): Promise<{ blob: DeltaBlob; report: DeltaLayerReport }> {
    const { descriptor, diffId } = layer;
    using out = namelessFile();
    const { facts, parts } = await this.#pack(layer, files, out);
    const smaller = facts.size < descriptor.size;
    const { blob, mediaType } = smaller
      ? { blob: fileBlob(out, facts, this.#signal), mediaType: undefined }
      : this.#whole(layer);
    const sent = await this.#send(blob);
    return {
      blob: { ...sent, to: descriptor.digest, mediaType },
      report: reportOf({ descriptor, diffId }, smaller ? 'patch' : 'whole', sent.size, parts),
    };
  }

  async #pack(
    { descriptor: { digest }, diffId }: NewLayer,
    files: SourceFiles,
    out: Fd,
  ): Promise<{ facts: BlobFacts; parts: LayerParts }> {
    const stream = this.#streamOf(diffId);
    const { format: version = 2, compressionLevel: level, onEvent } = this.#options;
    const size = tarSize(this.#repository, stream);
    try {
      return await packLayer(this.#repository, { stream, diffId }, files, out, {
        version,
        level,
        signal: this.#signal,
        onProgress: (done) => onEvent?.({ kind: 'packing', diffId, done, size }),
      });
    } catch (error) {
      this.#signal.throwIfAborted();
      throw error instanceof FormatError && error.place.layer === undefined
        ? new FormatError(error.code, error.reason, { cause: error, place: { ...error.place, layer: digest } })
        : error;
    }
  }

  /** The layer as it was pulled, where that was kept, or else compressed. */
  #whole({ descriptor, diffId }: NewLayer): { blob: OutgoingBlob; mediaType: string } {
    const kept = streamOf(this.#to, descriptor.digest);
    if (kept !== undefined && descriptor.digest !== diffId)
      return {
        blob: storedBlob(this.#repository, kept, descriptor, this.#signal),
        mediaType: LAYER_TYPES[compressionOf(descriptor.mediaType) ?? 'gzip'],
      };
    const stream = this.#streamOf(diffId);
    const choice = { compression: 'zstd', level: this.#options.compressionLevel } as const;
    return {
      blob: new CompressedLayer(this.#repository, stream, diffId, choice, () => undefined, this.#signal),
      mediaType: LAYER_TYPES.zstd,
    };
  }

  #streamOf(diffId: string): string {
    const stream = streamOf(this.#to, diffId);
    if (stream === undefined) throw new BridgeError('LAYER_MISSING', `the repository has no layer ${diffId}`);
    return stream;
  }

  async #send(blob: OutgoingBlob): Promise<BlobFacts> {
    const { onEvent } = this.#options;
    const { name } = blob;
    const outcome = await this.#place.putBlob(
      blob,
      {
        onProgress: (done, sent) => onEvent?.({ kind: 'progress', name, done, sent, size: blob.facts?.size }),
        onContinue: (at) => onEvent?.({ kind: 'continued', name, from: at }),
        onRetry: (reason) => onEvent?.({ kind: 'retry', name, reason }),
      },
      this.#signal,
    );
    if (blob.facts === undefined) throw new Error(`blob ${name} was not read to its end`);
    const { digest, size } = blob.facts;
    this.#sent += size;
    onEvent?.({ kind: 'blob', name, blob: { digest, size, diffId: undefined, outcome } });
    return { digest, size };
  }
}

/** Each layer of an image once. */
function layersOf({ manifest, config }: RepositoryImage): NewLayer[] {
  const diffIds = config?.rootfs.diff_ids ?? [];
  if (diffIds.length !== manifest.layers.length)
    throw new BridgeError(
      'LAYER_CHAIN',
      `the manifest lists ${manifest.layers.length} layers, the config ${diffIds.length}`,
    );
  const layers = manifest.layers.map((descriptor, index) => ({ descriptor, diffId: diffIds[index] as string }));
  return [...new Map(layers.map((layer) => [layer.diffId, layer])).values()];
}

function named(layers: readonly NewLayer[]): { digest: string; diffId: string }[] {
  return layers.map(({ descriptor: { digest }, diffId }) => ({ digest, diffId }));
}

function reportOf(
  { descriptor: { digest, size: fullSize }, diffId }: NewLayer,
  made: DeltaLayerReport['made'],
  size: number,
  parts: LayerParts | undefined,
): DeltaLayerReport {
  return { diffId, digest, made, size, fullSize, parts };
}
