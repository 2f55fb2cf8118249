import { BridgeError } from '../../errors.js';
import { erofsVersions } from '../../repository/meta.js';
import type { ObjectId } from '../../fsverity/object-id.js';
import type { Repository } from '../../repository/repository.js';
import { encodeTag } from '../../repository/tags.js';
import { parseImage } from '../../spec/image.js';
import type { ImageSource, LayerSource } from '../source/source.js';
import { pullArtifact } from './artifact.js';
import { findPulledImage } from './find-pulled.js';
import { keepBlobs } from './keep-blobs.js';
import { LayerNames } from './layer-names.js';
import { imageRefsOf, makeImages } from './make-images.js';
import { reportOtherPlatform } from './other-platform.js';
import { publish } from './publish.js';
import { pullLayers } from './pull-layers.js';
import type { PullOptions, PullResult } from './types.js';
import { writeImage, type WrittenImage } from './write-image.js';

/**
 * Brings an image into a repository: its layers, its EROFS image, config and manifest, and last the tag. Every layer is
 * checked against its diff_id. A name appears only when everything it stands for is there and right; what is there
 * already is used after it was verified once. The source is not disposed. Of an artifact, the blobs are stored as they
 * are.
 * @throws DigestMismatchError when a layer is another one than the config says; BridgeError `NOT_AN_IMAGE` for an
 *   artifact of a source that has none; whatever source and repository throw; the signal's reason
 * @example
 * ```ts
 * import { openSource, pullImage, Repository } from 'composefs-bridge';
 *
 * await using source = await openSource('oci:/srv/layout');
 * using repository = await Repository.open('/var/lib/images', { write: true });
 * const { images, layers } = await pullImage(repository, source, {
 *   name: 'app',
 *   onEvent: (event) => {
 *     if (event.kind === 'progress') console.error(event.diffId, event.done);
 *   },
 * });
 * console.log(layers.length, images.get(1)); // 1 …
 * ```
 */
export async function pullImage(
  repository: Repository,
  source: ImageSource,
  options: PullOptions = {},
): Promise<PullResult> {
  // Nobody wants to learn that the name cannot be a tag after all the work.
  if (options.name !== undefined) encodeTag(options.name);
  const { manifest, config } = parseImage(source.manifest, source.config);
  if (config === undefined) return pullArtifact(repository, source, options);
  checkLayers(config.rootfs.diff_ids, source.layers);
  reportOtherPlatform(config, options);
  const versions = new Set(erofsVersions(repository.meta));
  if (options.erofsVersion !== undefined) versions.add(options.erofsVersion);
  options.onEvent?.({ kind: 'layers', layers: source.layers });

  const kept = options.keepBlobs ? await keepBlobs(repository, manifest, source, options.signal) : undefined;

  const present = await findPulledImage(repository, source, versions, options.bootable === true);
  if (present !== undefined) {
    for (const { diffId } of present.layers) options.onEvent?.({ kind: 'present', diffId });
    const written = kept === undefined ? {} : await writeAgain(repository, source, present, kept.streams);
    await publish(repository, manifest, present.manifestDigest, options.name);
    return { ...present, ...written, tag: options.name };
  }

  // The disk is busy with the layers while the images are made.
  await using names = new LayerNames(repository);
  const { layers, tree } = await pullLayers(repository, kept?.source ?? source, names, options);
  const streams = new Map(layers.map(({ diffId, stream }) => [diffId, stream]));
  const image = { config, digest: manifest.config.digest, layers: streams };
  const { images, bootImages } = await makeImages(repository, image, tree, versions, options);
  await names.done();
  options.signal?.throwIfAborted();
  const written = await writeImage(repository, {
    manifest: source.manifest,
    config: source.config,
    layers: streams,
    images: imageRefsOf(images, bootImages),
    ...(kept && { blobs: kept.streams }),
  });
  await publish(repository, manifest, written.manifestDigest, options.name);
  return { ...written, tag: options.name, images, bootImages, layers };
}

/** Has the manifest refer to blobs that are kept now. */
async function writeAgain(
  repository: Repository,
  { manifest, config }: ImageSource,
  { layers, images, bootImages }: Omit<PullResult, 'tag'>,
  blobs: ReadonlyMap<string, ObjectId>,
): Promise<WrittenImage> {
  return writeImage(repository, {
    manifest,
    config,
    layers: new Map(layers.map(({ diffId, stream }) => [diffId, stream])),
    images: imageRefsOf(images, bootImages),
    blobs,
  });
}

function checkLayers(diffIds: readonly string[], layers: readonly LayerSource[]): void {
  const offered = layers.map(({ diffId }) => diffId);
  if (diffIds.length === offered.length && diffIds.every((diffId, index) => diffId === offered[index])) return;
  throw new BridgeError(
    'LAYER_CHAIN',
    `the image's config lists ${diffIds.length} layers (${diffIds.join(', ')}), the source offers ` +
      `${offered.length} (${offered.join(', ')})`,
  );
}
