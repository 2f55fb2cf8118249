import { NotFoundError } from '../errors.js';
import type { StoredImage } from './image.js';
import { repositoryOf, type ImageReference } from './reference.js';

/** Node's names for processors, where the OCI image specification uses Go's. */
const GO_ARCHITECTURE: Record<string, string> = { x64: 'amd64', ia32: '386', ppc64: 'ppc64le', mipsel: 'mipsle' };

/**
 * Finds the image a reference means: exact ID, exact name, the beginning of one ID, name by Docker's rules, then the
 * short forms `localhost/NAME` and the end of exactly one name, as podman and cfsctl offer them.
 * Source: containers/storage `store.Image`, containers/image `resolveImage`.
 * @param images of all roots, the primary's first, without repeated IDs
 * @throws NotFoundError, also when several images fit
 */
export function findImage(images: readonly StoredImage[], reference: ImageReference): StoredImage {
  const { text, digest } = reference;
  if (digest !== undefined) return byDigest(images, reference, digest);
  const found =
    byExactId(images, reference) ??
    withName(images, text) ??
    byIdPrefix(images, reference) ??
    (text.includes('@') ? undefined : byName(images, reference));
  if (!found) throw new NotFoundError(`no image "${text}" in the store`);
  return found;
}

/** The instance for this machine when several images came through the same list. */
function byDigest(images: readonly StoredImage[], reference: ImageReference, digest: string): StoredImage {
  const fitting = images.filter((image) => image.manifestDigests.includes(digest) && hasRepository(image, reference.repository));
  const first = fitting.length > 1 ? (ofThisPlatform(fitting, digest) ?? fitting[0]) : fitting[0];
  if (first) return first.withManifest(digest);
  const id = digest.slice('sha256:'.length);
  const image = reference.repository === undefined ? images.find((candidate) => candidate.id === id) : undefined;
  if (!image) throw new NotFoundError(`no image "${reference.text}" in the store`);
  return image;
}

function ofThisPlatform(images: readonly StoredImage[], digest: string): StoredImage | undefined {
  const architecture = GO_ARCHITECTURE[process.arch] ?? process.arch;
  const instances = images[0]!.list(digest)?.manifests.filter(
    ({ platform }) => platform?.os === 'linux' && platform.architecture === architecture,
  );
  return instances && images.find((image) => instances.some((instance) => image.manifestDigests.includes(instance.digest)));
}

function byExactId(images: readonly StoredImage[], { idPrefix, repository, text }: ImageReference): StoredImage | undefined {
  const image = images.find(({ id }) => id === idPrefix);
  return image && belongs(image, text, repository) ? image : undefined;
}

function byIdPrefix(images: readonly StoredImage[], { idPrefix, repository, text }: ImageReference): StoredImage | undefined {
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
