import { NotFoundError } from '../../errors.js';
import type { ObjectId } from '../../fsverity/object-id.js';
import { manifestOf } from '../../repository/names.js';
import type { Repository } from '../../repository/repository.js';
import { openImage } from './image.js';
import { imageRefName, imageRefs, type ImageKind } from './refs.js';

/** One EROFS image of a container image; the members of `cfsctl oci linked-erofs-images`. */
export interface LinkedImage {
  id: ObjectId;
  bootable: boolean;
  version: 1 | 2;
  /** null for plain images, whose names do not say it */
  xattrMode: 'allowlist-only' | 'keep-user-xattrs' | null;
}

/**
 * All EROFS images of the container image that one of them belongs to, whether the image has a tag or not.
 * @param id any of them
 * @throws NotFoundError
 */
export async function linkedImages(repository: Repository, id: ObjectId): Promise<LinkedImage[]> {
  for (const stream of repository.listStreams()) {
    const digest = manifestOf(stream);
    if (digest === undefined) continue;
    // Other images are read although this one may be damaged.
    const refs = await openImage(repository, `@${digest}`).then(
      ({ configStream }) => imageRefs(configStream.namedRefs),
      () => undefined,
    );
    if (refs === undefined || ![...refs.values()].includes(id)) continue;
    return kinds.flatMap((kind) => {
      const linked = refs.get(imageRefName(kind));
      return linked === undefined
        ? []
        : [{ id: linked, bootable: kind.boot, version: kind.version === 2 ? 2 : 1, xattrMode: modeOf(kind) }];
    });
  }
  throw new NotFoundError(`no container image has the EROFS image ${id}`);
}

const kinds: readonly ImageKind[] = [false, true].flatMap((boot) =>
  (boot ? [false, true] : [false]).flatMap((keepUserXattrs) =>
    ([2, 1] as const).map((version) => ({ version, boot, keepUserXattrs })),
  ),
);

function modeOf({ boot, keepUserXattrs }: ImageKind): LinkedImage['xattrMode'] {
  if (!boot) return null;
  return keepUserXattrs ? 'keep-user-xattrs' : 'allowlist-only';
}
