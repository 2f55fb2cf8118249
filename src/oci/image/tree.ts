import type { Abortable } from '../../abortable.js';
import { NotFoundError } from '../../errors.js';
import type { Repository } from '../../repository/repository.js';
import { LayerTree, type LateMark, type MarkOrder } from '../../tree/oci-layers.js';
import type { XattrMode } from '../../tree/oci-transform.js';
import type { Directory } from '../../tree/tree.js';
import type { JsonStream } from './json-stream.js';
import type { ImageConfig } from '../../spec/manifest.js';
import { StoredLayerReader } from './stored-layer.js';

/**
 * The file tree of a stored image, from the splitstreams its config refers to.
 * @param refs the config's stream, whose named references are the layers
 * @param config says which layers, lowest first
 * @param options.onLateMark is told of the first mark with which cfsctl 0.9.4 makes another image
 * @throws NotFoundError for a missing layer, FormatError for what no image can hold
 */
export async function imageTree(
  repository: Repository,
  refs: Pick<JsonStream, 'namedRefs'>,
  config: ImageConfig,
  options: {
    xattrs: XattrMode;
    marks?: MarkOrder;
    onLateMark?: ((mark: LateMark) => void) | undefined;
  } & Abortable,
): Promise<Directory> {
  const tree = new LayerTree(options.marks);
  for (const diffId of config.rootfs.diff_ids) {
    const stream = refs.namedRefs.get(diffId);
    if (stream === undefined) throw new NotFoundError(`the config names layer ${diffId} but has no reference to it`);
    tree.beginLayer(diffId);
    for await (const entries of new StoredLayerReader(repository, stream, diffId).entries(options.signal))
      for (const { entry, content } of entries) tree.apply(entry, content);
  }
  if (tree.lateMark !== undefined) options.onLateMark?.(tree.lateMark);
  return tree.finish({ xattrs: options.xattrs });
}
