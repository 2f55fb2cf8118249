// Manifests that say something about another one: signatures, attestations. Registries that have no list of them get an
// index under a tag that follows from the digest.
import { MEDIA_TYPES, digestLike, parseIndex, type Descriptor, type ImageIndex } from '../spec/manifest.js';
import { getManifest, putManifest } from './manifests.js';
import { pages } from './pages.js';
import { RegistryError } from './registry-error.js';
import type { RegistryRepository } from './repository.js';

/** Answers of servers that do not know what referrers are. */
const UNKNOWN = [400, 404, 405];

/**
 * What refers to a manifest.
 * @param digest of the manifest
 * @param artifactType only these; also where the server does not filter
 * @throws RegistryError, FormatError `INDEX_INVALID`, HttpError
 */
export async function listReferrers(
  repository: RegistryRepository,
  digest: string,
  artifactType?: string,
  signal?: AbortSignal,
): Promise<Descriptor[]> {
  const query = artifactType === undefined ? '' : `?${new URLSearchParams({ artifactType }).toString()}`;
  const found: Descriptor[] = [];
  let known = false;
  for await (const { json } of pages(repository, {
    target: `referrers/${digest}${query}`,
    expect: [200, ...UNKNOWN],
    what: 'the referrers cannot be listed',
    reference: digest,
    signal,
  })) {
    known = true;
    found.push(...parseIndex(Buffer.from(JSON.stringify(json))).manifests);
  }
  const all = known ? found : (await fallback(repository, digest, signal)).index.manifests;
  return artifactType === undefined ? all : all.filter((descriptor) => descriptor.artifactType === artifactType);
}

/**
 * Adds a manifest to the index of referrers, for a server that does not do that itself (see `putManifest`).
 * @throws RegistryError, HttpError
 */
export async function addToFallback(
  repository: RegistryRepository,
  subject: string,
  referrer: Descriptor,
  signal?: AbortSignal,
): Promise<void> {
  const { json, index } = await fallback(repository, subject, signal);
  if (index.manifests.some(({ digest }) => digest === referrer.digest)) return;
  const listed: readonly unknown[] = json.manifests ?? [];
  const bytes = Buffer.from(JSON.stringify({ ...json, manifests: [...listed, referrer] }));
  await putManifest(
    repository,
    fallbackTag(subject),
    { bytes, mediaType: MEDIA_TYPES.index, digest: digestLike('sha256:', bytes) },
    signal,
  );
}

/** The tag that stands for the referrers of a digest. */
export function fallbackTag(digest: string): string {
  return digest.replace(':', '-').slice(0, 128);
}

/** @returns also the JSON itself: whatever others have noted in it has to stay when it is written again */
async function fallback(
  repository: RegistryRepository,
  digest: string,
  signal: AbortSignal | undefined,
): Promise<{ json: { manifests?: readonly unknown[] | null }; index: ImageIndex }> {
  try {
    const { bytes, mediaType } = await getManifest(repository, fallbackTag(digest), signal);
    if (mediaType === MEDIA_TYPES.index)
      return { json: JSON.parse(bytes.toString('utf8')) as { manifests?: unknown[] }, index: parseIndex(bytes) };
    throw repository.error('it stands where the index of referrers should be, but is none', fallbackTag(digest));
  } catch (error) {
    if (!(error instanceof RegistryError && error.code === 'NOT_FOUND')) throw error;
    const json = { schemaVersion: 2 as const, mediaType: MEDIA_TYPES.index, manifests: [] };
    return { json, index: { ...json, artifactType: undefined } };
  }
}
