import type { ObjectId } from '../../repository/object-id.js';
import { BridgeError, FormatError } from '../../errors.js';
import type { TakePolicy } from '../../repository/objects.js';
import type { Repository } from '../../repository/repository.js';
import { CONTENT_TYPES } from '../../repository/splitstream-format.js';
import { layerContentId } from '../image.js';
import { importLayer, withLayer, type LayerStats, type PlacedEntry } from './import-layer.js';
import { LayerSummary } from '../layer-summary.js';
import type { PullEvent } from './types.js';
import type { LayerSource } from '../source/source.js';
import { isVerified, markVerified, verifyLayerStream } from './verified.js';

export interface LayerOutcome {
  diffId: string;
  actual: string;
  stream: ObjectId;
  stats: LayerStats | undefined;
  /** settles when the layer's name is on the disk, which nothing but names has to wait for */
  named: Promise<void>;
}

export interface ObtainOptions {
  policy: TakePolicy;
  signal: AbortSignal;
  allowUnverified: boolean;
  /** gets the layer's entries in order, some at a time */
  onEntries: (entries: readonly PlacedEntry[]) => void;
  onEvent: ((event: PullEvent) => void) | undefined;
}

/**
 * Makes sure that a layer is in the repository and is what its diff_id says. A stream of that name is not believed: programs
 * that do not verify may have written it, from a truncated or a wrong layer. It is verified once, and replaced when it is wrong.
 * @returns when the content is there; wait for `named` as well before the repository is disposed
 */
export async function obtainLayer(repository: Repository, layer: LayerSource, options: ObtainOptions): Promise<LayerOutcome> {
  options.signal.throwIfAborted();
  return (await usePresent(repository, layer.diffId, options)) ?? (await importNew(repository, layer, options));
}

async function usePresent(repository: Repository, diffId: string, { signal, onEntries, onEvent }: ObtainOptions): Promise<LayerOutcome | undefined> {
  const stream = repository.streamObject(layerContentId(diffId));
  if (stream === undefined || !(await isUsable(repository, diffId, stream, signal))) return undefined;
  for await (const entries of new LayerSummary(repository, stream).entries(signal)) onEntries(entries);
  onEvent?.({ kind: 'present', diffId });
  return { diffId, actual: diffId, stream, stats: undefined, named: Promise.resolve() };
}

async function isUsable(repository: Repository, diffId: string, stream: ObjectId, signal: AbortSignal): Promise<boolean> {
  try {
    if (isVerified(repository, diffId, stream)) {
      await checkObjects(repository, stream);
    } else {
      await verifyLayerStream(repository, diffId, stream, signal);
      markVerified(repository, diffId, stream);
    }
    return true;
  } catch (error) {
    // Wrong, damaged or incomplete: as good as not there. Anything else (no memory, no permission) is not the stream's fault.
    if (error instanceof BridgeError && !signal.aborted) return false;
    throw error;
  }
}

async function importNew(repository: Repository, layer: LayerSource, { policy, signal, allowUnverified, onEntries, onEvent }: ObtainOptions): Promise<LayerOutcome> {
  const { diffId } = layer;
  const tar = await layer.open(signal).catch((error: unknown) => {
    throw withLayer(error, diffId);
  });
  const imported = await importLayer(repository.objects, tar, allowUnverified ? undefined : diffId, {
    policy,
    signal,
    onEntries,
    onProgress: (done) => onEvent?.({ kind: 'progress', diffId, done }),
  });
  const { stream, stats, diffId: actual } = imported;
  const named = repository.linkStream(layerContentId(actual), stream).then(() => markVerified(repository, actual, stream));
  // Whoever waits for it hears of it.
  named.catch(() => undefined);
  if (actual !== diffId) onEvent?.({ kind: 'unverified', diffId, actual });
  onEvent?.({ kind: 'imported', diffId, stats });
  return { diffId, actual, stream, stats, named };
}

/** Objects may have been lost since the stream was verified. */
async function checkObjects(repository: Repository, stream: ObjectId): Promise<void> {
  using reader = repository.openStream(stream);
  // An artifact's blob with the same bytes has the same name.
  if (reader.contentType !== CONTENT_TYPES.layer) throw new FormatError('CONTENT_TYPE', `splitstream ${stream} is not a layer`);
  const missing = await repository.objects.firstMissing(reader.objectDigests);
  if (missing !== undefined) throw new BridgeError('OBJECT_MISSING', `object ${missing} is missing`);
}
