import { BridgeError, NoImageError, NotFoundError } from '../errors.js';
import { isSaid, platformRank, showPlatform, type Platform } from '../spec/platform.js';
import type { Instance, StoredImage } from './image.js';
import { repositoryOf, type ImageReference } from './reference.js';

/**
 * Finds the image a reference means: exact ID, exact name, the beginning of one ID, name by Docker's rules, then the
 * short forms `localhost/NAME` and the end of exactly one name, as podman and cfsctl offer them.
 * Source: containers/storage `store.Image`, containers/image `resolveImage`.
 * @param images of all roots, the primary's first, without repeated IDs
 * @param platform of the image to take where a manifest list is named
 * @throws NotFoundError, also when several images fit; BridgeError `PLATFORM`
 */
export function findImage(images: readonly StoredImage[], reference: ImageReference, platform: Platform): StoredImage {
  const found = findNamed(images, reference, platform);
  const instances = found.instances();
  return instances === undefined ? found : instanceFor(images, reference.text, instances, platform);
}

function findNamed(images: readonly StoredImage[], reference: ImageReference, platform: Platform): StoredImage {
  const { text, digest } = reference;
  if (digest !== undefined) return byDigest(images, reference, digest, platform);
  const found =
    byExactId(images, reference) ??
    withName(images, text) ??
    byIdPrefix(images, reference) ??
    (text.includes('@') ? undefined : byName(images, reference));
  if (!found) throw new NoImageError(`no image "${text}" in the store`);
  return found;
}

/** The instance for the platform when several images came through the same list. */
function byDigest(
  images: readonly StoredImage[],
  reference: ImageReference,
  digest: string,
  platform: Platform,
): StoredImage {
  const fitting = images.filter(
    (image) => image.manifestDigests.includes(digest) && hasRepository(image, reference.repository),
  );
  const first = fitting.length > 1 ? (ofPlatform(fitting, digest, platform) ?? fitting[0]) : fitting[0];
  if (first) return first.withManifest(digest);
  const id = digest.slice('sha256:'.length);
  const image = reference.repository === undefined ? images.find((candidate) => candidate.id === id) : undefined;
  if (!image) throw new NoImageError(`no image "${reference.text}" in the store`);
  return image;
}

function ofPlatform(images: readonly StoredImage[], digest: string, platform: Platform): StoredImage | undefined {
  const instances = ranked(images[0]!.list(digest)?.manifests ?? [], platform);
  return firstOf(images, instances);
}

/** The image that a list of the store means, as `podman build --manifest` makes them. */
function instanceFor(
  images: readonly StoredImage[],
  name: string,
  listed: readonly Instance[],
  platform: Platform,
): StoredImage {
  const fitting = ranked(listed, platform);
  const [best] = fitting;
  if (best === undefined) {
    const others = listed.map((instance) =>
      instance.platform && isSaid(instance.platform) ? showPlatform(instance.platform) : instance.digest,
    );
    throw new BridgeError(
      'PLATFORM',
      `the manifest list "${name}" has no image for ${showPlatform(platform)}, ` +
        `${others.length > 0 ? `only for ${others.join(', ')}` : 'it is empty'}`,
    );
  }
  const image = firstOf(images, fitting);
  if (image === undefined)
    throw new NotFoundError(
      `the manifest list "${name}" has the image ${best.digest} for ${showPlatform(platform)}, which is not in ` +
        'the store',
    );
  return image;
}

/** Those that suit, the best first. One of which nothing is said may suit where no other does. */
function ranked(listed: readonly Instance[], wanted: Platform): Instance[] {
  const fitting = listed.flatMap((instance) => {
    const platform = instance.platform ?? { os: '', architecture: '' };
    const rank = platformRank(platform, wanted);
    return rank === undefined ? [] : [{ instance, rank, said: isSaid(platform) }];
  });
  const said = fitting.filter((candidate) => candidate.said);
  return (said.length > 0 ? said : fitting).sort((a, b) => a.rank - b.rank).map(({ instance }) => instance);
}

function firstOf(images: readonly StoredImage[], instances: readonly Instance[]): StoredImage | undefined {
  for (const { digest } of instances) {
    const image = images.find(
      (candidate) => candidate.manifestDigests.includes(digest) && candidate.instances() === undefined,
    );
    if (image !== undefined) return image.withManifest(digest);
  }
  return undefined;
}

function byExactId(
  images: readonly StoredImage[],
  { idPrefix, repository, text }: ImageReference,
): StoredImage | undefined {
  const image = images.find(({ id }) => id === idPrefix);
  return image && belongs(image, text, repository) ? image : undefined;
}

function byIdPrefix(
  images: readonly StoredImage[],
  { idPrefix, repository, text }: ImageReference,
): StoredImage | undefined {
  if (idPrefix === undefined) return undefined;
  const fitting = images.filter(({ id }) => id.startsWith(idPrefix));
  return fitting.length === 1 && belongs(fitting[0]!, text, repository) ? fitting[0] : undefined;
}

/** A name written before the ID, `name@id`, must be one of the image's. */
function belongs(image: StoredImage, text: string, repository: string | undefined): boolean {
  return !text.includes('@') || hasRepository(image, repository);
}

function hasRepository(image: StoredImage, repository: string | undefined): boolean {
  return repository === undefined || image.names.some((name) => repositoryOf(name) === repository);
}

function withName(images: readonly StoredImage[], name: string): StoredImage | undefined {
  return images.find(({ names }) => names.includes(name));
}

function byName(images: readonly StoredImage[], { text, repository, tag }: ImageReference): StoredImage | undefined {
  if (repository === undefined || tag === undefined) return undefined;
  const short = text.endsWith(`:${tag}`) ? text : `${text}:${tag}`;
  const found = withName(images, `${repository}:${tag}`) ?? withName(images, `localhost/${short}`);
  if (found) return found;
  const fitting = images.filter(({ names }) => names.some((name) => name.endsWith(`/${short}`)));
  if (fitting.length > 1) {
    const names = fitting.flatMap((image) => image.names).filter((name) => name.endsWith(`/${short}`));
    throw new NotFoundError(`several images are called "${text}": ${names.join(', ')}`);
  }
  return fitting[0];
}
