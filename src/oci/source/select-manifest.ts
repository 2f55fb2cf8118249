// An index lists images for several platforms, and further indexes. Which one is to be pulled is decided here.
import { BridgeError, FormatError, NotFoundError } from '../../errors.js';
import type { Blobs } from '../blob/blobs.js';
import { isContainerImage, MEDIA_TYPES, parseConfig, parseIndex, parseManifest, type Descriptor, type Platform } from '../manifest.js';
import { platformRank, showPlatform } from './platform.js';

/** Deeper nesting than this, and more manifests, are taken for an attack. */
const MAX_DEPTH = 8;
const MAX_MANIFESTS = 1000;

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

/**
 * The manifest to pull. Images must be for the wanted platform, which their descriptor says, or else their config. A single
 * artifact is taken as it is: it has no platform.
 * @param listed the outermost list's entries that come into question
 * @returns the exact bytes, with digest and size checked
 * @throws NotFoundError when nothing is listed; BridgeError `PLATFORM` when there are only others, `AMBIGUOUS_IMAGE`;
 *   FormatError, DigestMismatchError for damaged files
 */
export function selectManifest(listed: readonly Descriptor[], blobs: Blobs, wanted: Platform): Buffer {
  const candidates = distinct(listed.flatMap((descriptor, entry) => [...expand(descriptor, entry, blobs, 0)]));
  if (candidates.length > MAX_MANIFESTS) throw new FormatError('INDEX_INVALID', `the index leads to ${candidates.length} manifests, at most ${MAX_MANIFESTS} are looked at`);
  const [only] = candidates;
  if (only === undefined) throw new NotFoundError('the index lists no image manifest');
  if (candidates.length === 1 && isArtifact(only.descriptor, blobs)) return readManifest(only.descriptor, blobs);
  const seen = new Set<string>();
  const ranked: Ranked[] = [];
  for (const candidate of candidates) {
    const platform = candidate.descriptor.platform ?? platformOf(candidate.descriptor, blobs);
    if (platform === undefined) continue;
    seen.add(showPlatform(platform));
    const rank = platformRank(platform, wanted);
    if (rank !== undefined) ranked.push({ ...candidate, rank });
  }
  const [best, next] = ranked.sort((a, b) => a.rank - b.rank);
  if (best === undefined) {
    if (seen.size === 0) throw ambiguous(candidates);
    throw new BridgeError('PLATFORM', `there is no image for ${showPlatform(wanted)}, only for ${[...seen].join(', ')}`);
  }
  // Within one index the first of equals is meant; between names in a folder nobody has said which.
  if (next !== undefined && next.rank === best.rank && next.entry !== best.entry) throw ambiguous([best, next]);
  return readManifest(best.descriptor, blobs);
}

function* expand(descriptor: Descriptor, entry: number, blobs: Blobs, depth: number): Generator<Candidate> {
  if (MANIFEST_TYPES.includes(descriptor.mediaType)) yield { descriptor, entry };
  if (!isIndexType(descriptor.mediaType)) return;
  if (depth === MAX_DEPTH) throw new FormatError('INDEX_INVALID', `indexes are nested more than ${MAX_DEPTH} deep`);
  const index = parseIndex(blobs.read('image index', descriptor));
  checkMediaType(descriptor, index.mediaType);
  let count = 0;
  for (const inner of index.manifests) {
    for (const candidate of expand(inner, entry, blobs, depth + 1)) {
      if (++count > MAX_MANIFESTS) throw new FormatError('INDEX_INVALID', `an index leads to more than ${MAX_MANIFESTS} manifests`);
      yield candidate;
    }
  }
}

function distinct(candidates: readonly Candidate[]): Candidate[] {
  const byDigest = new Map<string, Candidate>();
  for (const candidate of candidates) if (!byDigest.has(candidate.descriptor.digest)) byDigest.set(candidate.descriptor.digest, candidate);
  return [...byDigest.values()];
}

/** What an image's config says; undefined for an artifact. */
function platformOf(descriptor: Descriptor, blobs: Blobs): Platform | undefined {
  const manifest = parseManifest(readManifest(descriptor, blobs));
  return isContainerImage(manifest) ? parseConfig(blobs.read('config', manifest.config)) : undefined;
}

function isArtifact(descriptor: Descriptor, blobs: Blobs): boolean {
  return !isContainerImage(parseManifest(readManifest(descriptor, blobs)));
}

function readManifest(descriptor: Descriptor, blobs: Blobs): Buffer {
  const bytes = blobs.read('manifest', descriptor);
  checkMediaType(descriptor, parseManifest(bytes).mediaType);
  return bytes;
}

/** The same bytes read as one type by us and as another by others could be two images. */
function checkMediaType({ digest, mediaType }: Descriptor, actual: string | undefined): void {
  if (actual !== undefined && actual !== mediaType) throw new FormatError('MEDIA_TYPE', `${digest} calls itself ${actual}, its descriptor ${mediaType}`);
}

function ambiguous(candidates: readonly Candidate[]): BridgeError {
  const names = candidates.slice(0, 20).map(({ descriptor }) => descriptor.annotations?.['org.opencontainers.image.ref.name'] ?? descriptor.digest);
  return new BridgeError('AMBIGUOUS_IMAGE', `there is more than one image (${names.join(', ')}); add a colon and the name of the one to take`);
}
