import { NotFoundError } from '../errors.js';
import type { Repository } from '../repository/repository.js';
import { LayerTree } from '../tree/oci-layers.js';
import type { XattrMode } from '../tree/oci-transform.js';
import type { Directory } from '../tree/tree.js';
import type { JsonStream } from './json-stream.js';
import type { ImageConfig } from './manifest.js';
import { LayerSummary } from './layer-summary.js';

/**
 * The file tree of a stored image, from the splitstreams its config refers to.
 * @param refs the config's stream, whose named references are the layers
 * @param config says which layers, lowest first
 * @throws NotFoundError for a missing layer, FormatError for what no image can hold
 */
export async function imageTree(
  repository: Repository,
  refs: Pick<JsonStream, 'namedRefs'>,
  config: ImageConfig,
  options: { xattrs: XattrMode; signal?: AbortSignal },
): Promise<Directory> {
  const tree = new LayerTree();
  for (const diffId of config.rootfs.diff_ids) {
    const stream = refs.namedRefs.get(diffId);
    if (stream === undefined) throw new NotFoundError(`the config names layer ${diffId} but has no reference to it`);
    for await (const entries of new LayerSummary(repository, stream).entries(options.signal))
      for (const { entry, content } of entries) tree.apply(entry, content);
  }
  return tree.finish({ xattrs: options.xattrs });
}
