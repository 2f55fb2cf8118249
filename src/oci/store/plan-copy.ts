import type { WritableStore } from '../../storage/write/writable-store.js';
import type { ImageSource, LayerSource } from '../source/source.js';
import { nothingToShare, reused } from './copy-to-store.js';
import { imageToStore } from './image-to-store.js';
import { surveyLayer } from './survey.js';
import type { StoreCopyOptions, StoreCopyResult, StoredCopy } from './types.js';

/**
 * Finds out what `copyToStore` would do, and changes nothing. Layers that would be written are read where their files
 * lie unpacked, and not verified; blobs are not fetched.
 * @param store undefined for one that is not there yet
 * @throws as `copyToStore`
 */
export async function planCopy(
  source: ImageSource,
  store: WritableStore | undefined,
  options: StoreCopyOptions = {},
): Promise<StoreCopyResult> {
  const { signal } = options;
  const { id, manifestDigest, configDigest, names } = imageToStore(source, options.names);
  const existed = (await store?.images({ signal }))?.some((image) => image.id === id) ?? false;
  const layers: StoredCopy[] = [];
  for (const layer of source.layers) {
    signal?.throwIfAborted();
    const below = layers.at(-1);
    // What lies on a layer that is yet to be written cannot be there.
    const isThere = below === undefined || below.id !== undefined;
    const found = isThere ? await store?.findLayer({ parent: below?.id, diffId: layer.diffId }, { signal }) : undefined;
    if (found !== undefined) layers.push(reused(layer, found, options));
    else if (options.zeroCopy && !source.canShare) throw nothingToShare(layer);
    else layers.push(await planned(layer, source.canShare, signal));
  }
  return { id, existed, manifestDigest, configDigest, names, layers };
}

async function planned(layer: LayerSource, canShare: boolean, signal: AbortSignal | undefined): Promise<StoredCopy> {
  const plan = { diffId: layer.diffId, id: undefined, outcome: 'planned', extracted: undefined } as const;
  if (!canShare) return { ...plan, survey: undefined };
  await using stream = await layer.open({ signal });
  return { ...plan, survey: await surveyLayer(stream, signal) };
}
