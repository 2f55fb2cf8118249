import type { ErofsVersion } from '../repository/meta.js';
import type { ObjectId } from '../repository/object-id.js';
import type { Repository } from '../repository/repository.js';
import type { XattrMode } from '../tree/oci-transform.js';
import { layerStreams, openImage } from './image.js';
import { imageRefName } from './image-refs.js';
import { isContainerImage } from './manifest.js';
import { writeImage } from './pull/write-image.js';
import { ImageRebuild } from './rebuild-image.js';

const MODES: readonly XattrMode[] = ['allowlist-only', 'keep-user-xattrs'];
const VERSIONS: readonly ErofsVersion[] = [1, 2];

export interface FoundBootImage {
  xattrs: XattrMode;
  version: ErofsVersion;
}

/**
 * Looks for the way to make the boot image of a certain digest, of an image that is in the repository: a kernel may have
 * been sealed with one that was made in another format, or with other xattrs. What is found is stored and becomes one of the image's.
 * @param manifest its digest, `sha256:…`
 * @returns undefined, or how it was made; the number of ways that there are
 * @throws NotFoundError, FormatError, what `transformForBoot` throws, what the repository throws
 */
export async function findBootImage(repository: Repository, manifest: string, expected: ObjectId, signal: AbortSignal): Promise<{ found: FoundBootImage | undefined; tried: number }> {
  const image = await openImage(repository, `@${manifest}`);
  const { config, configStream, manifestStream } = image;
  const ways = MODES.flatMap((xattrs) => VERSIONS.map((version) => ({ xattrs, version })));
  if (config === undefined || !isContainerImage(image.manifest)) return { found: undefined, tried: 0 };
  const known = ways.find((way) => configStream.namedRefs.get(nameOf(way)) === expected && repository.hasImage(expected) && repository.objects.has(expected));
  if (known !== undefined) return { found: known, tried: ways.length };

  const layers = layerStreams(config, configStream);
  const rebuild = new ImageRebuild(repository, layers, config, signal);
  for (const way of ways) {
    const made = await rebuild.makeOf(way.version, true, way.xattrs);
    if (made.id !== expected) continue;
    await repository.objects.put(made.bytes);
    await repository.linkImage(expected);
    await writeImage(repository, { manifest: manifestStream.bytes, config: configStream.bytes, layers, images: new Map([[nameOf(way), expected]]) });
    return { found: way, tried: ways.length };
  }
  return { found: undefined, tried: ways.length };
}

function nameOf({ xattrs, version }: FoundBootImage): string {
  return imageRefName({ version, boot: true, keepUserXattrs: xattrs === 'keep-user-xattrs' });
}
