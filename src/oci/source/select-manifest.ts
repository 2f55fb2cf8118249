// An index lists images for several platforms, and further indexes. Which one is to be pulled is decided here.
import { BridgeError, FormatError, NoImageError } from '../../errors.js';
import { INDEX_DEPTH_LIMIT, INDEX_MANIFESTS_LIMIT } from '../../limits.js';
import type { ImageBlobs } from './blobs/blobs.js';
import {
  isContainerImage,
  MEDIA_TYPES,
  parseConfig,
  parseIndex,
  parseManifest,
  type Descriptor,
  type Manifest,
} from '../../spec/manifest.js';
import { hostPlatform, isSaid, platformRank, showPlatform, type Platform } from '../../spec/platform.js';

const INDEX_TYPES: readonly string[] = [MEDIA_TYPES.index, MEDIA_TYPES.dockerIndex];
const MANIFEST_TYPES: readonly string[] = [MEDIA_TYPES.manifest, MEDIA_TYPES.dockerManifest];

/** A manifest that could be meant. */
interface Candidate {
  descriptor: Descriptor;
  /** Which entry of the outermost list it came from. */
  entry: number;
}

interface Ranked extends Candidate {
  rank: number;
}

/** Whether a media type is that of an index. */
export function isIndexType(mediaType: string): boolean {
  return INDEX_TYPES.includes(mediaType);
}

/** Whether a media type is that of a manifest. */
export function isManifestType(mediaType: string): boolean {
  return MANIFEST_TYPES.includes(mediaType);
}

/**
 * The manifest to pull. Images must be for the wanted platform, which their descriptor says, or else their config. A
 * single artifact is taken as it is, since it has no platform, and so is a single image that is there under a name of
 * its own.
 * @param listed the outermost list's entries that come into question
 * @param wanted default: what this program runs on
 * @param options.digest of the manifest, or of an index that leads to it, when that is how it was chosen
 * @param options.oneIndex the list is an index itself, and not that of a folder with named images
 * @returns the exact bytes, with digest and size checked
 * @throws NotFoundError when nothing is listed; BridgeError `PLATFORM` when there are only others, `AMBIGUOUS_IMAGE`;
 *   FormatError, DigestMismatchError for damaged files
 */
export async function selectManifest(
  listed: readonly Descriptor[],
  blobs: ImageBlobs,
  wanted: Platform = hostPlatform(),
  { digest, oneIndex = false }: { digest?: string; oneIndex?: boolean } = {},
): Promise<Buffer> {
  const all: Candidate[] = [];
  for (const [entry, descriptor] of listed.entries())
    for await (const candidate of expand(descriptor, oneIndex ? 0 : entry, blobs, 0)) all.push(candidate);
  const candidates = distinctImages(
    digest === undefined
      ? all
      : all.filter(({ descriptor, entry }) => descriptor.digest === digest || listed[entry]?.digest === digest),
  );
  if (candidates.length > INDEX_MANIFESTS_LIMIT)
    throw new FormatError(
      'INDEX_INVALID',
      `the index leads to ${candidates.length} manifests, at most ${INDEX_MANIFESTS_LIMIT} are looked at`,
    );
  const [only] = candidates;
  if (only === undefined)
    throw new NoImageError(
      digest === undefined ? 'the index lists no image manifest' : `the index does not lead to ${digest}`,
    );
  const isNamed =
    digest === undefined
      ? !oneIndex && listed.length === 1 && listed[0] === only.descriptor
      : only.descriptor.digest === digest;
  if (isOneImage(candidates) && (isNamed || (await isArtifact(only.descriptor, blobs))))
    return readManifest(only.descriptor, blobs);
  const seen = new Set<string>();
  const ranked: Ranked[] = [];
  for (const candidate of candidates) {
    const { platform: said } = candidate.descriptor;
    const platform = said && isSaid(said) ? said : await platformOf(candidate.descriptor, blobs);
    if (platform === undefined) continue;
    seen.add(showPlatform(platform));
    const rank = platformRank(platform, wanted);
    if (rank !== undefined) ranked.push({ ...candidate, rank });
  }
  const [best, next] = ranked.sort((a, b) => a.rank - b.rank);
  if (best === undefined) {
    if (seen.size === 0) throw ambiguous(candidates, oneIndex ? 'here nothing can say which one to take' : undefined);
    throw new BridgeError(
      'PLATFORM',
      `there is no image for ${showPlatform(wanted)}, only for ${[...seen].join(', ')}`,
    );
  }
  // Within one index the first of equals is meant; between names in a folder nobody has said which.
  if (next !== undefined && next.rank === best.rank && next.entry !== best.entry && !isOneImage([best, next]))
    throw ambiguous([best, next]);
  return readManifest(best.descriptor, blobs);
}

async function* expand(
  descriptor: Descriptor,
  entry: number,
  blobs: ImageBlobs,
  depth: number,
): AsyncGenerator<Candidate> {
  if (isManifestType(descriptor.mediaType)) yield { descriptor, entry };
  if (!isIndexType(descriptor.mediaType)) return;
  if (depth === INDEX_DEPTH_LIMIT)
    throw new FormatError('INDEX_INVALID', `indexes are nested more than ${INDEX_DEPTH_LIMIT} deep`);
  const index = parseIndex(await blobs.read('image index', descriptor));
  checkMediaType(descriptor, index.mediaType);
  let count = 0;
  for (const inner of index.manifests) {
    for await (const candidate of expand(inner, entry, blobs, depth + 1)) {
      if (++count > INDEX_MANIFESTS_LIMIT)
        throw new FormatError('INDEX_INVALID', `an index leads to more than ${INDEX_MANIFESTS_LIMIT} manifests`);
      yield candidate;
    }
  }
}

/** An image without programs may be listed for several platforms. */
function distinctImages(candidates: readonly Candidate[]): Candidate[] {
  const found = new Map<string, Candidate>();
  for (const candidate of candidates) {
    const { digest, platform } = candidate.descriptor;
    const key = `${digest} ${platform && isSaid(platform) ? showPlatform(platform) : ''}`;
    if (!found.has(key)) found.set(key, candidate);
  }
  return [...found.values()];
}

function isOneImage(candidates: readonly Candidate[]): boolean {
  return candidates.every(({ descriptor }) => descriptor.digest === candidates[0]?.descriptor.digest);
}

/** What an image's config says; undefined for an artifact. */
async function platformOf(descriptor: Descriptor, blobs: ImageBlobs): Promise<Platform | undefined> {
  const manifest = parseManifest(await readManifest(descriptor, blobs));
  const config = await configOf(manifest, blobs);
  return isContainerImage(manifest, config)
    ? parseConfig(config ?? (await blobs.read('config', manifest.config)))
    : undefined;
}

async function isArtifact(descriptor: Descriptor, blobs: ImageBlobs): Promise<boolean> {
  const manifest = parseManifest(await readManifest(descriptor, blobs));
  return !isContainerImage(manifest, await configOf(manifest, blobs));
}

/** The config, where its type does not say what it is. */
async function configOf(manifest: Manifest, blobs: ImageBlobs): Promise<Buffer | undefined> {
  return manifest.config.mediaType === MEDIA_TYPES.untypedConfig ? blobs.read('config', manifest.config) : undefined;
}

async function readManifest(descriptor: Descriptor, blobs: ImageBlobs): Promise<Buffer> {
  const bytes = await blobs.read('manifest', descriptor);
  const { mediaType, artifactType } = parseManifest(bytes);
  checkMediaType(descriptor, mediaType);
  // Docker's manifests have no such thing, and who believes the descriptor does not see it.
  if (artifactType !== undefined && descriptor.mediaType === MEDIA_TYPES.dockerManifest)
    throw new FormatError(
      'MEDIA_TYPE',
      `${descriptor.digest} is an artifact, its descriptor says ${descriptor.mediaType}`,
    );
  return bytes;
}

/** The same bytes read as one type by us and as another by others could be two images. */
function checkMediaType({ digest, mediaType }: Descriptor, actual: string | undefined): void {
  if (actual !== undefined && actual !== mediaType)
    throw new FormatError('MEDIA_TYPE', `${digest} calls itself ${actual}, its descriptor ${mediaType}`);
}

function ambiguous(
  candidates: readonly Candidate[],
  advice = 'add a colon and the name or digest of the one to take',
): BridgeError {
  const named = candidates.slice(0, 20).map(({ descriptor }) => ({
    name: descriptor.annotations?.['org.opencontainers.image.ref.name'],
    digest: descriptor.digest,
  }));
  // Only what says which one it is helps to choose.
  const names = named.map(({ name, digest }) =>
    name === undefined || named.filter((other) => other.name === name).length > 1 ? digest : name,
  );
  return new BridgeError('AMBIGUOUS_IMAGE', `there is more than one image (${names.join(', ')}); ${advice}`);
}
