import { BridgeError } from '../../errors.js';
import type { ErofsVersion } from '../../erofs/format/options.js';
import type { ObjectId } from '../../fsverity/object-id.js';
import { hasOurFolders, isOurs } from '../../repository/ours.js';
import type { Repository } from '../../repository/repository.js';
import { configContentId, layerContentId, manifestContentId, pathOfName, STREAMS } from '../../repository/names.js';
import { openImage, type RepositoryImage } from '../image/image.js';
import { imageRefName } from '../image/refs.js';
import { digestLike } from '../../spec/manifest.js';
import type { PullResult } from './types.js';
import type { ImageSource } from '../source/source.js';
import { isVerified } from './verified.js';

/**
 * The result of an earlier pull of the same image, when everything of it is in place: the streams of manifest and
 * config, layers that were verified, and EROFS images of all wanted versions. Otherwise undefined, and the image has to
 * be pulled.
 */
export async function findPulledImage(
  repository: Repository,
  source: ImageSource,
  versions: ReadonlySet<ErofsVersion>,
  bootable: boolean,
): Promise<Omit<PullResult, 'tag'> | undefined> {
  const manifestDigest = digestLike('sha256:', source.manifest);
  if (repository.streamObject(manifestContentId(manifestDigest)) === undefined) return undefined;
  const stored = await tryOpen(repository, manifestDigest);
  if (stored === undefined) return undefined;
  const { namedRefs } = stored.configStream;

  const images = findImages(repository, namedRefs, versions, false);
  const bootImages = bootable ? findImages(repository, namedRefs, versions, true) : new Map<ErofsVersion, ObjectId>();
  if (images === undefined || bootImages === undefined) return undefined;
  // Which streams and images manifest and config refer to is not covered by their digests.
  const names = [manifestContentId(manifestDigest), configContentId(stored.configStream.digest)].map((name) =>
    pathOfName(STREAMS, name),
  );
  const objects = [
    stored.manifestStream.stream,
    stored.configStream.stream,
    ...images.values(),
    ...bootImages.values(),
  ];
  if (names.some((name) => isOurs(repository, name) === false) || !hasOurFolders(repository)) return undefined;
  if ((await repository.objects.firstMissing(Buffer.from(objects.join(''), 'hex'))) !== undefined) return undefined;
  const layers = [];
  for (const diffId of new Set(source.layers.map((layer) => layer.diffId))) {
    const stream = repository.streamObject(layerContentId(diffId));
    const isSame =
      stream !== undefined &&
      namedRefs.get(diffId) === stream &&
      stored.manifestStream.namedRefs.get(diffId) === stream;
    if (!isSame || !isVerified(repository, diffId, stream) || !(await isComplete(repository, stream))) return undefined;
    layers.push({ diffId, actual: diffId, stream, stats: undefined });
  }
  return {
    manifestDigest,
    configDigest: stored.configStream.digest,
    manifestStream: stored.manifestStream.stream,
    configStream: stored.configStream.stream,
    images,
    bootImages,
    layers,
  };
}

/** @returns undefined unless all of them are there */
function findImages(
  repository: Repository,
  namedRefs: ReadonlyMap<string, ObjectId>,
  versions: ReadonlySet<ErofsVersion>,
  boot: boolean,
): Map<ErofsVersion, ObjectId> | undefined {
  const images = new Map<ErofsVersion, ObjectId>();
  for (const version of versions) {
    const id = namedRefs.get(imageRefName({ version, boot, keepUserXattrs: false }));
    if (id === undefined || !repository.hasImage(id) || !repository.objects.has(id)) return undefined;
    images.set(version, id);
  }
  return images;
}

/** Whether all objects of a layer are there: an error that speaks of a missing one asks to pull the image again. */
async function isComplete(repository: Repository, stream: ObjectId): Promise<boolean> {
  try {
    using reader = repository.openStream(stream);
    return (await repository.objects.firstMissing(reader.objects.bytes)) === undefined;
  } catch (error) {
    if (error instanceof BridgeError) return false;
    throw error;
  }
}

async function tryOpen(repository: Repository, manifestDigest: string): Promise<RepositoryImage | undefined> {
  try {
    return await openImage(repository, `@${manifestDigest}`);
  } catch (error) {
    if (error instanceof BridgeError) return undefined;
    throw error;
  }
}
