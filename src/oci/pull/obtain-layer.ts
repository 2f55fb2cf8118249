import type { ObjectId } from '../../fsverity/object-id.js';
import { BridgeError, FormatError } from '../../errors.js';
import type { Repository } from '../../repository/repository.js';
import { CONTENT_TYPES } from '../../repository/splitstream/format.js';
import { layerContentId } from '../../repository/names.js';
import { importLayer } from './import-layer.js';
import type { EntrySink } from './layers-in-order.js';
import type { LayerPolicy } from '../../repository/local-fetch.js';
import { StoredLayerReader } from '../image/stored-layer.js';
import { markPacked } from './packed.js';
import type { PulledLayer, PullEvent } from './types.js';
import type { LayerSource } from '../source/source.js';
import { isVerified, markVerified, verifyLayerStream } from './verified.js';

export interface ObtainOptions {
  policy: LayerPolicy;
  signal: AbortSignal;
  allowUnverified?: boolean | undefined;
  /** gets the layer's entries in order, some at a time; for who makes a tree of them */
  entries?: EntrySink | undefined;
  onEvent?: ((event: PullEvent) => void) | undefined;
}

/**
 * Makes sure that a layer is in the repository, under its name, and is what its diff_id says. A stream of that name is
 * not believed: programs that do not verify may have written it, from a truncated or a wrong layer. It is verified
 * once, and replaced when it is wrong.
 */
export async function obtainLayer(
  repository: Repository,
  layer: LayerSource,
  options: ObtainOptions,
): Promise<PulledLayer> {
  const obtained = await obtainContent(repository, layer, options);
  await nameLayer(repository, obtained);
  return obtained;
}

/** The same without the name, which is to be given with `nameLayer`. */
export async function obtainContent(
  repository: Repository,
  layer: LayerSource,
  options: ObtainOptions,
): Promise<PulledLayer> {
  options.signal.throwIfAborted();
  return (await usePresent(repository, layer.diffId, options)) ?? (await importNew(repository, layer, options));
}

/** Gives a layer its name, once its content is on the disk; one that was there already has it. */
export async function nameLayer(repository: Repository, { actual, stream, stats, blob }: PulledLayer): Promise<void> {
  if (stats === undefined) return;
  await repository.linkStream(layerContentId(actual), stream);
  markVerified(repository, actual, stream);
  if (blob !== undefined) markPacked(repository, blob, stream);
}

async function usePresent(
  repository: Repository,
  diffId: string,
  { signal, entries, onEvent }: ObtainOptions,
): Promise<PulledLayer | undefined> {
  const stream = repository.streamObject(layerContentId(diffId));
  if (stream === undefined || !(await isUsable(repository, diffId, stream, signal))) return undefined;
  if (entries !== undefined)
    for await (const some of new StoredLayerReader(repository, stream, diffId).entries(signal)) entries.add(some);
  onEvent?.({ kind: 'present', diffId });
  return { diffId, actual: diffId, stream, stats: undefined };
}

async function importNew(
  repository: Repository,
  layer: LayerSource,
  { onEvent, ...options }: ObtainOptions,
): Promise<PulledLayer> {
  const { diffId } = layer;
  const onProgress = (done: number): void => onEvent?.({ kind: 'progress', diffId, done });
  const { diffId: actual, stream, stats, blob } = await importLayer(repository, layer, { ...options, onProgress });
  if (actual !== diffId) onEvent?.({ kind: 'unverified', diffId, actual });
  onEvent?.({ kind: 'imported', diffId, stats });
  return { diffId, actual, stream, stats, blob };
}

async function isUsable(
  repository: Repository,
  diffId: string,
  stream: ObjectId,
  signal: AbortSignal,
): Promise<boolean> {
  try {
    await checkObjects(repository, stream);
    if (!isVerified(repository, diffId, stream)) {
      await verifyLayerStream(repository, diffId, stream, { signal });
      markVerified(repository, diffId, stream);
    }
    return true;
  } catch (error) {
    // Wrong, damaged or incomplete: as good as not there. Anything else (no memory, no permission) is not the stream's
    // fault.
    if (error instanceof BridgeError && !signal.aborted) return false;
    throw error;
  }
}

/**
 * Objects may have been lost since the stream was verified, and those that somebody else can change are not to be used.
 */
async function checkObjects(repository: Repository, stream: ObjectId): Promise<void> {
  await checkPresent(repository, Buffer.from(stream, 'hex'));
  using reader = repository.openStream(stream);
  // An artifact's blob with the same bytes has the same name.
  if (reader.contentType !== CONTENT_TYPES.layer)
    throw new FormatError('CONTENT_TYPE', `splitstream ${stream} is not a layer`);
  await checkPresent(repository, reader.objects.bytes);
}

async function checkPresent(repository: Repository, digests: Buffer): Promise<void> {
  const missing = await repository.objects.firstMissing(digests);
  if (missing !== undefined) throw new BridgeError('OBJECT_MISSING', `object ${missing} is missing`);
}
