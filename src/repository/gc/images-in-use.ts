import type { ObjectId } from '../../fsverity/object-id.js';
import { IMAGES, pathOfName } from '../names.js';
import type { Repository } from '../repository.js';
import { deployedNames, isObjectOpen, mountedNames } from './in-use.js';
import type { ObjectTable } from './objects.js';
import type { Walk } from './walk.js';

/**
 * Why an image stays that nothing names. `open` are mounted images, too; `mounted` is a guess by the digest, where
 * nothing better can be had.
 */
export type ImageUse = 'deployed' | 'mounted' | 'open';

export interface ImageInUse {
  readonly image: ObjectId;
  readonly by: ImageUse;
}

/** Keeps images that nothing names: those of deployments, and those somebody has open, which a mount does. */
export async function keepImagesInUse(repository: Repository, table: ObjectTable, walk: Walk): Promise<ImageInUse[]> {
  const kept: ImageInUse[] = [];
  const keep = async (image: ObjectId, use: (id: ObjectId) => ImageUse | undefined): Promise<void> => {
    const index = table.find(image);
    const by = index < 0 || table.isKept(index) ? undefined : use(image);
    if (by === undefined) return;
    kept.push({ image, by });
    await walk.from({ id: image, area: IMAGES, path: pathOfName(IMAGES, image) });
  };
  for (const name of deployedNames(repository)) await keep(name, () => 'deployed');
  const mounted = mountedNames();
  for (const name of new Set([...mounted, ...repository.listImages()])) {
    if (!/^[0-9a-f]+$/.test(name)) continue;
    await keep(name, (id) => {
      const open = isObjectOpen(repository, id);
      // Where the kernel does not say whether this very file is in use, a mounted image of the same digest counts.
      if (open === undefined) return mounted.has(id) ? 'mounted' : undefined;
      return open ? 'open' : undefined;
    });
  }
  return kept;
}
