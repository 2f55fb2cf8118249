// Deltas that nobody named: what a registry says refers to the image that is pulled.
import type { Abortable } from '../../abortable.js';
import { BridgeError } from '../../errors.js';
import { DELTAS_LIMIT } from '../../limits.js';
import { configContentId, layerContentId } from '../../repository/names.js';
import type { Repository } from '../../repository/repository.js';
import { DELTA_ANNOTATION, DELTA_CONTENT, isDelta } from '../../spec/delta.js';
import { isContainerImage, parseConfig, parseManifest, type Manifest } from '../../spec/manifest.js';
import type { ImageSource, Referrer } from '../source/source.js';
import { readDelta } from './delta.js';

/** A delta that makes the image, of one that is here. */
export interface FoundDelta extends AsyncDisposable {
  readonly source: ImageSource;
  readonly digest: string;
  /** bytes of its layers */
  readonly size: number;
  /** bytes of the layers that a pull of the image itself would fetch */
  readonly fullSize: number;
}

/**
 * The delta of an image that costs least: of those that refer to it and change an image which is in the repository, the
 * one whose layers have the fewest bytes in sum.
 * @param image what is to be pulled
 * @returns undefined where none is smaller than the layers that are missing, or the source knows of none
 * @throws what the source throws; FormatError for a delta that is none; DigestMismatchError for one of another image
 */
export async function findDelta(
  repository: Repository,
  image: ImageSource,
  { signal = new AbortController().signal }: Abortable = {},
): Promise<FoundDelta | undefined> {
  const fullSize = missingBytes(repository, image);
  if (fullSize === 0 || image.referrers === undefined) return undefined;
  const candidates: { referrer: Referrer; manifest: Buffer; size: number }[] = [];
  const referrers = (await image.referrers(signal)).filter(({ descriptor }) => mayBeOfUse(repository, descriptor));
  for (const referrer of referrers.slice(0, DELTAS_LIMIT)) {
    signal.throwIfAborted();
    const manifest = await referrer.manifest(signal);
    const parsed = parseManifest(manifest);
    if (isDelta(parsed) && hasSource(repository, parsed.annotations?.[DELTA_ANNOTATION.sourceConfig]))
      candidates.push({ referrer, manifest, size: layerBytes(parsed) });
  }
  const [best] = candidates.sort(
    (a, b) => a.size - b.size || (a.referrer.descriptor.digest < b.referrer.descriptor.digest ? -1 : 1),
  );
  if (best === undefined || best.size >= fullSize) return undefined;
  const source = await best.referrer.open(signal);
  try {
    const { manifest } = await readDelta(source, signal);
    // What was asked for is what a policy has accepted.
    if (!manifest.equals(image.manifest))
      throw new BridgeError('DELTA_TARGET', 'the delta refers to the image but makes another one');
  } catch (error) {
    await source.close();
    throw error;
  }
  return {
    source,
    digest: best.referrer.descriptor.digest,
    size: best.size,
    fullSize,
    [Symbol.asyncDispose]: () => source.close(),
  };
}

/** Whether what a list says of a referrer does not rule it out. */
function mayBeOfUse(repository: Repository, { artifactType, annotations }: Referrer['descriptor']): boolean {
  if (!isDelta({ artifactType })) return false;
  const config = annotations?.[DELTA_ANNOTATION.sourceConfig];
  return config === undefined || hasSource(repository, config);
}

function hasSource(repository: Repository, config: string | undefined): boolean {
  return config !== undefined && repository.streamObject(configContentId(config)) !== undefined;
}

/** What of an image's blobs has to be fetched; 0 for an artifact. */
function missingBytes(repository: Repository, { manifest, config }: ImageSource): number {
  const parsed = parseManifest(manifest);
  if (!isContainerImage(parsed, config)) return 0;
  const diffIds = parseConfig(config).rootfs.diff_ids;
  const missing = parsed.layers.filter((_, index) => {
    const diffId = diffIds[index];
    return diffId !== undefined && repository.streamObject(layerContentId(diffId)) === undefined;
  });
  return missing.reduce((sum, { size }) => sum + size, 0);
}

function layerBytes({ layers }: Manifest): number {
  return layers
    .filter(({ annotations }) => annotations?.[DELTA_ANNOTATION.content] === DELTA_CONTENT.layer)
    .reduce((sum, { size }) => sum + size, 0);
}
