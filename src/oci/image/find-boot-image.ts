import type { ErofsVersion } from '../../erofs/format/options.js';
import type { ObjectId } from '../../fsverity/object-id.js';
import type { Repository } from '../../repository/repository.js';
import type { XattrMode } from '../../tree/oci-transform.js';
import { layerStreams, openImage } from './image.js';
import { imageRefName } from './refs.js';
import { writeImage } from '../pull/write-image.js';
import { ImageRebuild } from './rebuild-image.js';

const MODES: readonly XattrMode[] = ['allowlist-only', 'keep-user-xattrs'];
const VERSIONS: readonly ErofsVersion[] = [1, 2];

export interface FoundBootImage {
  xattrs: XattrMode;
  version: ErofsVersion;
}

/**
 * Looks for the way to make the boot image of a certain digest, of an image that is in the repository: a kernel may
 * have been sealed with one that was made in another format, with other xattrs, or by cfsctl of layers with late marks.
 * What is found is stored and becomes one of the image's.
 * @param manifest its digest, `sha256:…`
 * @returns undefined, or how it was made; the number of ways that were tried
 * @throws NotFoundError, FormatError, what `transformForBoot` throws, what the repository throws
 */
export async function findBootImage(
  repository: Repository,
  manifest: string,
  expected: ObjectId,
  signal: AbortSignal,
): Promise<{ found: FoundBootImage | undefined; tried: number }> {
  const image = await openImage(repository, `@${manifest}`);
  const { config, configStream, manifestStream } = image;
  const ways = MODES.flatMap((xattrs) => VERSIONS.map((version) => ({ xattrs, version })));
  if (config === undefined) return { found: undefined, tried: 0 };
  const known = ways.find(
    (way) =>
      configStream.namedRefs.get(nameOf(way)) === expected &&
      repository.hasImage(expected) &&
      repository.objects.has(expected),
  );
  if (known !== undefined) return { found: known, tried: 0 };

  const layers = layerStreams(config, configStream);
  const rebuild = new ImageRebuild(repository, layers, config, signal);
  let tried = 0;
  for (const marks of ['spec', 'cfsctl'] as const) {
    if (marks === 'cfsctl' && !rebuild.hasLateMarks) break;
    for (const way of ways) {
      tried++;
      const made = await rebuild.makeOf(way.version, true, way.xattrs, marks);
      if (made.id !== expected) continue;
      await repository.objects.put(made.bytes);
      await repository.linkImage(expected);
      await writeImage(repository, {
        manifest: manifestStream.bytes,
        config: configStream.bytes,
        layers,
        images: new Map([[nameOf(way), expected]]),
      });
      return { found: way, tried };
    }
  }
  return { found: undefined, tried };
}

function nameOf({ xattrs, version }: FoundBootImage): string {
  return imageRefName({ version, boot: true, keepUserXattrs: xattrs === 'keep-user-xattrs' });
}
