import type { Repository } from '../../repository/repository.js';
import { LayerTree } from '../../tree/oci-layers.js';
import { inParallel } from '../in-parallel.js';
import type { ImageSource } from '../source/source.js';
import type { LayerNames } from './layer-names.js';
import { LayersInOrder } from './layers-in-order.js';
import { takePolicy } from '../../repository/local-fetch.js';
import { obtainContent } from './obtain-layer.js';
import type { PulledLayer, PullOptions } from './types.js';

/** The layers of an image, base first, and the file tree that they make. */
export interface PulledLayers {
  layers: PulledLayer[];
  tree: LayerTree;
}

/**
 * Obtains all layers, as many at a time as the source gives, and applies their entries to a tree, base first. The first
 * failure stops the others, and is thrown when all have ended.
 * @param names gets each layer when its content is there: what follows a failure, or a signal, can go on from there
 */
export async function pullLayers(
  repository: Repository,
  source: ImageSource,
  names: LayerNames,
  options: PullOptions,
): Promise<PulledLayers> {
  const policy = takePolicy(source.canShare ? (options.localFetch ?? 'auto') : 'disabled', {
    trusted: source.trusted,
    verityRequired: repository.verityRequired,
    sealSource: options.sealSource ?? false,
    silenceLimit: source.silenceLimit,
  });
  const distinct = new Map(source.layers.map((layer) => [layer.diffId, layer]));
  const tree = new LayerTree();
  const inOrder = new LayersInOrder(
    source.layers.map(({ diffId }) => diffId),
    tree,
  );
  const { parallelLayers } = source;
  const layers = await inParallel([...distinct.values()], parallelLayers, options.signal, async (layer, signal) => {
    const entries = inOrder.sinkOf(layer.diffId);
    const { allowUnverified, onEvent } = options;
    const pulled = await obtainContent(repository, layer, { policy, signal, allowUnverified, entries, onEvent });
    names.add(pulled, layer);
    inOrder.end(layer.diffId);
    return pulled;
  });
  return { layers, tree };
}
