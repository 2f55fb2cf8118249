import * as z from 'zod';
import { printable } from '../bytes.js';
import { DigestMismatchError } from '../errors.js';
import { REGISTRY_MANIFEST_LIMIT } from '../limits.js';
import { checkDigest, digestLike, isDigest, MEDIA_TYPES } from '../spec/manifest.js';
import type { RegistryRepository } from './repository.js';

const OCTETS = 'application/octet-stream';

const TYPES: readonly string[] = [
  MEDIA_TYPES.index,
  MEDIA_TYPES.manifest,
  MEDIA_TYPES.dockerIndex,
  MEDIA_TYPES.dockerManifest,
];
/** Asked for as well, so that they can be refused by name and not as something that is not there. */
const OLD_TYPES: readonly string[] = [
  'application/vnd.docker.distribution.manifest.v1+prettyjws',
  'application/vnd.docker.distribution.manifest.v1+json',
];
/** What servers say that do not know better. */
const VAGUE: readonly string[] = ['', 'application/json', 'text/plain', OCTETS];

const kindSchema = z.object({
  schemaVersion: z.number().optional(),
  mediaType: z.string().optional(),
  manifests: z.unknown().optional(),
  layers: z.unknown().optional(),
});

export interface StoredManifest {
  /** exactly as they came */
  bytes: Buffer;
  mediaType: string;
  digest: string;
}

/**
 * Reads a manifest or index.
 * @param reference a tag, or a digest that the bytes must have
 * @throws RegistryError, DigestMismatchError, HttpError
 */
export async function getManifest(
  repository: RegistryRepository,
  reference: string,
  signal?: AbortSignal,
): Promise<StoredManifest> {
  await using response = await repository.request({
    target: `manifests/${reference}`,
    headers: { accept: [...TYPES, ...OLD_TYPES].join(', ') },
    expect: [200],
    what: 'the manifest cannot be read',
    reference,
    signal,
  });
  const bytes = await response.bytes(REGISTRY_MANIFEST_LIMIT);
  const { host, path } = repository.name;
  if (isDigest(reference)) checkDigest(`manifest from ${host}/${path}`, reference, bytes);
  const mediaType = typeOf(repository, reference, bytes, response.header('content-type') ?? '');
  return { bytes, mediaType, digest: isDigest(reference) ? reference : digestLike('sha256:', bytes) };
}

/**
 * Whether a manifest is there. Its digest is what the server says, and some say nothing.
 * @throws RegistryError, HttpError
 */
export async function hasManifest(
  repository: RegistryRepository,
  reference: string,
  signal?: AbortSignal,
): Promise<{ digest: string | undefined } | undefined> {
  await using response = await repository.request({
    target: `manifests/${reference}`,
    method: 'HEAD',
    headers: { accept: TYPES.join(', ') },
    expect: [200, 404],
    what: 'the manifest cannot be looked for',
    reference,
    signal,
  });
  if (response.status === 404) return undefined;
  const digest = response.header('docker-content-digest');
  return { digest: digest !== undefined && isDigest(digest) ? digest : undefined };
}

/**
 * Stores a manifest.
 * @param reference a tag, or its digest
 * @returns whether the server notes itself which manifest this one refers to
 * @throws RegistryError, DigestMismatchError when the server has got something else, HttpError
 */
export async function putManifest(
  repository: RegistryRepository,
  reference: string,
  manifest: StoredManifest,
  signal?: AbortSignal,
): Promise<{ knowsSubject: boolean }> {
  const { bytes, mediaType, digest } = manifest;
  await using response = await repository.request({
    target: `manifests/${reference}`,
    method: 'PUT',
    headers: { 'content-type': mediaType },
    body: bytes,
    expect: [201],
    what: 'the manifest is not taken',
    reference,
    signal,
  });
  const stored = response.header('docker-content-digest');
  const comparable = stored !== undefined && isDigest(stored) && stored.split(':')[0] === digest.split(':')[0];
  if (comparable && stored !== digest)
    throw new DigestMismatchError(`manifest stored in ${repository.name.host}/${repository.name.path}`, digest, stored);
  return { knowsSubject: response.header('oci-subject') !== undefined };
}

/** What kind of manifest bytes are, by what the server says and they themselves say. */
function typeOf(repository: RegistryRepository, reference: string, bytes: Buffer, header: string): string {
  const said = (header.split(';', 1)[0] as string).trim().toLowerCase();
  const { schemaVersion, mediaType, manifests, layers } = readKind(repository, reference, bytes, said);
  if (OLD_TYPES.includes(said) || schemaVersion === 1)
    throw repository.error(
      "it is a manifest of docker's schema 1, which cannot be verified; push the image again with a current program",
      reference,
    );
  const own =
    mediaType ??
    (manifests !== undefined ? MEDIA_TYPES.index : layers !== undefined ? MEDIA_TYPES.manifest : undefined);
  const type = VAGUE.includes(said) ? own : said;
  if (type === undefined || !TYPES.includes(type))
    throw repository.error(
      `it is of the type ${JSON.stringify(printable(type ?? said))}, which is not that of a manifest`,
      reference,
    );
  // The same bytes read as one type by us and as another by others could be two images.
  if (mediaType !== undefined && mediaType !== type)
    throw repository.error(
      `it calls itself ${JSON.stringify(printable(mediaType))}, the server calls it ${printable(type)}`,
      reference,
    );
  return type;
}

function readKind(
  repository: RegistryRepository,
  reference: string,
  bytes: Buffer,
  said: string,
): z.output<typeof kindSchema> {
  try {
    return kindSchema.parse(JSON.parse(bytes.toString('utf8')));
  } catch (cause) {
    throw repository.error(
      `instead of a manifest there is something that is none (${JSON.stringify(printable(said))})`,
      reference,
      { cause },
    );
  }
}
