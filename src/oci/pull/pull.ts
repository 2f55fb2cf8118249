import { toBootTree } from '../../boot/boot-tree.js';
import { BridgeError } from '../../errors.js';
import { erofsVersions, type ErofsVersion } from '../../repository/meta.js';
import type { ObjectId } from '../../repository/object-id.js';
import type { Repository } from '../../repository/repository.js';
import { encodeTag } from '../../repository/tags.js';
import { LayerTree } from '../../tree/oci-layers.js';
import { findPulledImage } from './find-pulled.js';
import { imageRefName } from '../image-refs.js';
import { putImages } from '../put-images.js';
import type { PlacedEntry } from './import-layer.js';
import { checkDigest, isContainerImage, parseConfig, parseManifest } from '../manifest.js';
import { LayersInOrder } from './layers-in-order.js';
import { obtainLayer, type LayerOutcome } from './obtain-layer.js';
import { takePolicy } from './local-fetch.js';
import { publish } from './publish.js';
import type { PulledLayer, PullOptions, PullResult } from './types.js';
import { pullArtifact } from './artifact.js';
import type { ImageSource, LayerSource } from '../source/source.js';
import { writeImage } from './write-image.js';

/**
 * Brings an image into a repository: its layers, its EROFS image, config and manifest, and last the tag. Every layer is
 * checked against its diff_id. A name appears only when everything it stands for is there and right; what is there already is
 * used after it was verified once. The source is not disposed. Of an artifact, the blobs are stored as they are.
 * @throws DigestMismatchError when a layer is another one than the config says; BridgeError `NOT_AN_IMAGE` for an artifact of
 *   a source that has none; whatever source and repository throw; the signal's reason
 */
export async function pullImage(repository: Repository, source: ImageSource, options: PullOptions = {}): Promise<PullResult> {
  // Nobody wants to learn that the name cannot be a tag after all the work.
  if (options.name !== undefined) encodeTag(options.name);
  const manifest = parseManifest(source.manifest);
  if (!isContainerImage(manifest)) return pullArtifact(repository, source, options);
  checkDigest('config', manifest.config.digest, source.config);
  checkLayers(parseConfig(source.config).rootfs.diff_ids, source.layers);
  const versions = new Set(erofsVersions(repository.meta));
  if (options.erofsVersion !== undefined) versions.add(options.erofsVersion);
  options.onEvent?.({ kind: 'layers', layers: source.layers });

  const present = await findPulledImage(repository, source, versions, options.bootable === true);
  if (present !== undefined) {
    for (const { diffId } of present.layers) options.onEvent?.({ kind: 'present', diffId });
    await publish(repository, manifest, present.manifestDigest, options.name);
    return { ...present, tag: options.name };
  }

  const tree = new LayerTree();
  const obtained = await pullLayers(repository, source, options, (entries) => {
    for (const { entry, content } of entries) tree.apply(entry, content);
  });
  const layers = obtained.map(({ named: _, ...layer }): PulledLayer => layer);
  // The disk is busy with the layers while the images are made.
  const named = Promise.all(obtained.map((layer) => layer.named));
  // It may fail long before it is waited for.
  named.catch(() => undefined);
  const { images, bootImages } = await makeImages(repository, tree, versions, options).finally(() => named);
  options.signal?.throwIfAborted();
  const written = await writeImage(repository, {
    manifest: source.manifest,
    config: source.config,
    layers: new Map(layers.map(({ diffId, stream }) => [diffId, stream])),
    images: new Map([...refsTo(images, false), ...refsTo(bootImages, true)]),
  });
  await publish(repository, manifest, written.manifestDigest, options.name);
  return { ...written, tag: options.name, images, bootImages, layers };
}

async function makeImages(repository: Repository, tree: LayerTree, versions: ReadonlySet<ErofsVersion>, options: PullOptions): Promise<Pick<PullResult, 'images' | 'bootImages'>> {
  const root = tree.finish({ xattrs: 'allowlist-only' });
  const { signal, onEvent } = options;
  const onImage = (version: ErofsVersion, id: ObjectId): void => onEvent?.({ kind: 'image', version, id });
  const images = await putImages(repository, root, versions, { signal, onImage });
  if (!options.bootable) return { images, bootImages: new Map() };
  toBootTree(root, repository.objects);
  return { images, bootImages: await putImages(repository, root, versions, { signal, onImage }) };
}

function refsTo(images: ReadonlyMap<ErofsVersion, ObjectId>, boot: boolean): [string, ObjectId][] {
  return [...images].map(([version, id]) => [imageRefName({ version, boot, keepUserXattrs: false }), id]);
}

function checkLayers(diffIds: readonly string[], layers: readonly LayerSource[]): void {
  const offered = layers.map(({ diffId }) => diffId);
  if (diffIds.length === offered.length && diffIds.every((diffId, index) => diffId === offered[index])) return;
  throw new BridgeError('LAYER_CHAIN', `the image's config lists ${diffIds.length} layers (${diffIds.join(', ')}), the source offers ${offered.length} (${offered.join(', ')})`);
}

/** Obtains all layers, some at a time, and hands their entries over base first. */
async function pullLayers(repository: Repository, source: ImageSource, options: PullOptions, apply: (entries: readonly PlacedEntry[]) => void): Promise<LayerOutcome[]> {
  const stop = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, stop.signal]) : stop.signal;
  const policy = takePolicy(options.localFetch ?? 'auto', {
    trusted: source.trusted,
    verityRequired: repository.verityRequired,
    sealSource: options.sealSource ?? false,
  });
  const distinct = new Map(source.layers.map((layer) => [layer.diffId, layer]));
  const slots = new Slots(source.parallelLayers);
  const inOrder = new LayersInOrder(source.layers.map(({ diffId }) => diffId), apply);
  const running = [...distinct.values()].map((layer) =>
    slots.run(async () => {
      const outcome = await obtainLayer(repository, layer, {
        policy,
        signal,
        allowUnverified: options.allowUnverified ?? false,
        onEntries: (entries) => inOrder.add(layer.diffId, entries),
        onEvent: options.onEvent,
      });
      inOrder.end(layer.diffId);
      return outcome;
    }),
  );
  // The first failure stops the others, which then fail, too; it is the one to report.
  for (const outcome of running) outcome.catch((error: unknown) => stop.abort(error));
  const outcomes = (await Promise.allSettled(running)).flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
  if (!signal.aborted) return outcomes;
  await Promise.allSettled(outcomes.map(({ named }) => named));
  options.signal?.throwIfAborted();
  throw stop.signal.reason;
}

/** Runs a bounded number of jobs at a time, in the order they come. */
class Slots {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(count: number) {
    this.#free = count;
  }

  async run<T>(job: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await job();
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#free++;
    }
  }
}
