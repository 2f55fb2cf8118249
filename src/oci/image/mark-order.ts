import { showBytes } from '../../bytes.js';
import type { ErofsVersion } from '../../erofs/format/options.js';
import type { ObjectId } from '../../fsverity/object-id.js';
import type { Repository } from '../../repository/repository.js';
import type { LateMark, MarkOrder } from '../../tree/oci-layers.js';
import type { ImageConfig } from '../../spec/manifest.js';
import { ImageRebuild } from './rebuild-image.js';
import { imageRefs, sealOf } from './refs.js';

export interface LayersOfImage {
  config: ImageConfig;
  /** the layers' streams by diff_id */
  layers: ReadonlyMap<string, ObjectId>;
  /** what the config's stream refers to already */
  refs: ReadonlyMap<string, ObjectId>;
}

/**
 * How the images of layers with late marks are to be made: as cfsctl makes them when it stored one already, or when the
 * container image was sealed with one of its; machines boot and mount by that digest.
 * @param kinds what will be made
 * @throws as `ImageRebuild.make`
 */
export async function markOrder(
  repository: Repository,
  { config, layers, refs }: LayersOfImage,
  kinds: { versions: Iterable<ErofsVersion>; boot: boolean },
  signal?: AbortSignal,
): Promise<MarkOrder> {
  const known = new Set([...imageRefs(refs).values(), sealOf(config)]);
  const rebuild = new ImageRebuild(repository, layers, config, signal);
  for (const boot of kinds.boot ? [false, true] : [false]) {
    for (const version of kinds.versions) {
      if (known.has((await rebuild.makeOf(version, boot, 'allowlist-only', 'cfsctl')).id)) return 'cfsctl';
    }
  }
  return 'spec';
}

/** Says why an image has another id than cfsctl's, or why its files are fewer. */
export function describeLateMark({ layer, entry }: LateMark): string {
  return (
    `layer ${layer}: the mark "${showBytes(entry)}" stands after files of its own layer; cfsctl 0.9.4 loses them ` +
    'and makes another image'
  );
}
