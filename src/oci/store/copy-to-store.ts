// An image of any source, brought into a containers-storage.
import { BridgeError } from '../../errors.js';
import type { WritableStore } from '../../storage/write/writable-store.js';
import { withLayer } from '../pull/layer-error.js';
import type { ImageSource, LayerSource } from '../source/source.js';
import { imageToStore, type ImageToStore } from './image-to-store.js';
import type { StoreCopyOptions, StoreCopyResult, StoredCopy } from './types.js';

/**
 * Brings an image into a containers-storage: layer by layer, base first, and last the image with its names. Layers that
 * the store has are used as they are; each other one is verified against its diff_id before the store sees it. Files
 * that come by name or descriptor are cloned where the file system can do that.
 * @param source is not disposed
 * @param store is not disposed
 * @throws DigestMismatchError when a layer is another one than the config says; FormatError `BAD_REFERENCE` for a name;
 *   BridgeError `NOT_AN_IMAGE` for an artifact, `ZERO_COPY`; whatever source and store throw; the signal's reason
 */
export async function copyToStore(
  source: ImageSource,
  store: WritableStore,
  options: StoreCopyOptions = {},
): Promise<StoreCopyResult> {
  const image = imageToStore(source, options.names);
  const wait = { signal: options.signal };
  options.onEvent?.({ kind: 'layers', layers: source.layers });
  const layers: StoredCopy[] = [];
  for (const layer of source.layers) {
    options.signal?.throwIfAborted();
    const parent = layers.at(-1)?.id;
    const id = await store.findLayer({ parent, diffId: layer.diffId }, wait);
    if (id !== undefined) layers.push(reused(layer, id, options));
    else if (options.zeroCopy && !source.canShare) throw nothingToShare(layer);
    else layers.push(await written(store, layer, parent, options));
  }
  const put = await putImage(store, source, image, layers.at(-1)?.id, options);
  const { manifestDigest, configDigest, names } = image;
  return { ...put, manifestDigest, configDigest, names, layers };
}

/** A layer that need not come. */
export function reused({ diffId }: LayerSource, id: string, { onEvent }: StoreCopyOptions): StoredCopy {
  onEvent?.({ kind: 'reused', diffId });
  return { diffId, id, outcome: 'reused', extracted: undefined, survey: undefined };
}

async function written(
  store: WritableStore,
  layer: LayerSource,
  parent: string | undefined,
  { zeroCopy = false, signal, onEvent }: StoreCopyOptions,
): Promise<StoredCopy> {
  const { diffId } = layer;
  try {
    const stream = await layer.open({ signal });
    const { id, extracted } = await store.putLayer(stream, {
      parent,
      diffId,
      compressed: layer.packed,
      zeroCopy,
      signal,
      onProgress: (done) => onEvent?.({ kind: 'progress', diffId, done }),
    });
    layer.landed?.();
    if (extracted === undefined) return reused(layer, id, { onEvent });
    onEvent?.({ kind: 'written', diffId, extracted });
    return { diffId, id, outcome: 'written', extracted, survey: undefined };
  } catch (error) {
    throw withLayer(error, diffId);
  }
}

async function putImage(
  store: WritableStore,
  { manifest, config }: ImageSource,
  { names, extras }: ImageToStore,
  topLayer: string | undefined,
  { signal }: StoreCopyOptions,
): Promise<{ id: string; existed: boolean }> {
  const image = {
    manifest,
    config,
    topLayer,
    names,
    namesHistory: extras?.namesHistory,
    signatures: extras?.signatures,
  };
  const [first, ...others] = extras?.lists ?? [];
  const put = await store.putImage(
    { ...image, listManifest: first?.manifest, listSignatures: first?.signatures },
    { signal },
  );
  // An image that came through several lists is rare: each of the others is added to what is there.
  for (const { manifest: listManifest, signatures: listSignatures } of others)
    await store.putImage({ ...image, listManifest, listSignatures }, { signal });
  return put;
}

/** What is said where all content of a layer would be new. */
export function nothingToShare({ diffId }: LayerSource): BridgeError {
  return new BridgeError('ZERO_COPY', 'the layer comes packed as a blob, of which nothing can be shared', {
    place: { layer: diffId },
  });
}
