import { BridgeError } from '../../errors.js';
import type { Repository } from '../../repository/repository.js';
import { obtainBlob, type ObtainedBlob } from './import-blob.js';
import { noStats, type LayerStats } from './stats.js';
import { parseManifest, type Manifest } from '../../spec/manifest.js';
import { publish } from './publish.js';
import type { PulledLayer, PullOptions, PullResult } from './types.js';
import type { BlobSource, ImageSource } from '../source/source.js';
import { writeImage } from './write-image.js';

/**
 * Brings an artifact into a repository: a manifest whose config is not that of a container image, so that its layers
 * are blobs of any kind. Each blob is checked against its digest and stored as one object; there is no EROFS image.
 * @param source whose config was found to be the manifest's
 * @throws BridgeError `NOT_AN_IMAGE` when the source cannot give blobs; DigestMismatchError, FormatError; the signal's
 *   reason
 */
export async function pullArtifact(
  repository: Repository,
  source: ImageSource,
  options: PullOptions,
): Promise<PullResult> {
  const manifest = parseManifest(source.manifest);
  const { onEvent, name: tag } = options;
  const signal = options.signal ?? new AbortController().signal;
  const blobs = distinctBlobs(manifest, source);
  onEvent?.({ kind: 'layers', layers: blobs.map(({ digest, size }) => ({ diffId: digest, size })) });

  const layers: PulledLayer[] = [];
  for (const blob of blobs) {
    signal.throwIfAborted();
    const { digest: diffId } = blob;
    const obtained = await obtainBlob(repository, blob, signal);
    const stats = statsOf(obtained, blob.size);
    onEvent?.(stats === undefined ? { kind: 'present', diffId } : { kind: 'imported', diffId, stats });
    layers.push({ diffId, actual: diffId, stream: obtained.stream, stats });
  }
  const streams = new Map(layers.map(({ diffId, stream }) => [diffId, stream]));
  const written = await writeImage(repository, {
    manifest: source.manifest,
    config: source.config,
    layers: streams,
    images: new Map(),
  });
  await publish(repository, manifest, written.manifestDigest, tag);
  return { ...written, tag, images: new Map(), bootImages: new Map(), layers };
}

function distinctBlobs(manifest: Manifest, { blobs }: ImageSource): BlobSource[] {
  if (blobs === undefined) {
    throw new BridgeError(
      'NOT_AN_IMAGE',
      `the manifest's config is ${manifest.config.mediaType}: from here only container images can be pulled`,
    );
  }
  const offered = new Map(blobs.map((blob) => [blob.digest, blob]));
  return [...new Set(manifest.layers.map(({ digest }) => digest))].map((digest) => {
    const blob = offered.get(digest);
    if (blob === undefined)
      throw new BridgeError('LAYER_CHAIN', `the manifest lists blob ${digest}, the source does not offer it`);
    return blob;
  });
}

function statsOf({ outcome }: ObtainedBlob, size: number): LayerStats | undefined {
  if (outcome === undefined) return undefined;
  const copied = outcome === 'copied' ? 1 : 0;
  return { ...noStats(), files: 1, copied, present: 1 - copied, copiedBytes: copied * size, tarBytes: size };
}
