import type { ObjectId } from '../repository/object-id.js';
import { BridgeError } from '../errors.js';
import type { TakePolicy } from '../repository/objects.js';
import type { Repository } from '../repository/repository.js';
import { layerContentId } from './image.js';
import { importLayer, type LayerStats, type PlacedEntry } from './import-layer.js';
import { LayerSummary } from './layer-summary.js';
import type { PullEvent } from './pull.js';
import type { LayerSource } from './source.js';
import { isVerified, markVerified, verifyLayerStream } from './verified.js';

export interface LayerOutcome {
  diffId: string;
  actual: string;
  stream: ObjectId;
  stats: LayerStats | undefined;
  entries: PlacedEntry[];
}

export interface ObtainOptions {
  policy: TakePolicy;
  signal: AbortSignal;
  allowUnverified: boolean;
  onEvent: ((event: PullEvent) => void) | undefined;
}

/**
 * Makes sure that a layer is in the repository and is what its diff_id says. A stream of that name is not believed: programs
 * that do not verify may have written it, from a truncated or a wrong layer. It is verified once, and replaced when it is wrong.
 */
export async function obtainLayer(repository: Repository, layer: LayerSource, options: ObtainOptions): Promise<LayerOutcome> {
  options.signal.throwIfAborted();
  return (await usePresent(repository, layer.diffId, options)) ?? (await importNew(repository, layer, options));
}

async function usePresent(repository: Repository, diffId: string, { signal, onEvent }: ObtainOptions): Promise<LayerOutcome | undefined> {
  const stream = repository.streamObject(layerContentId(diffId));
  if (stream === undefined) return undefined;
  try {
    if (!isVerified(repository, diffId, stream)) {
      await verifyLayerStream(repository, diffId, stream, signal);
      markVerified(repository, diffId, stream);
    }
    const entries = await collect(repository, stream, signal);
    checkObjects(repository, entries);
    onEvent?.({ kind: 'present', diffId });
    return { diffId, actual: diffId, stream, stats: undefined, entries };
  } catch (error) {
    // Wrong, damaged or incomplete: as good as not there. Anything else (no memory, no permission) is not the stream's fault.
    if (error instanceof BridgeError && !signal.aborted) return undefined;
    throw error;
  }
}

async function importNew(repository: Repository, layer: LayerSource, { policy, signal, allowUnverified, onEvent }: ObtainOptions): Promise<LayerOutcome> {
  const { diffId } = layer;
  const imported = await importLayer(repository.objects, await layer.open(signal), allowUnverified ? undefined : diffId, {
    policy,
    signal,
    onProgress: (done) => onEvent?.({ kind: 'progress', diffId, done }),
  });
  const { stream, stats, entries, diffId: actual } = imported;
  await repository.linkStream(layerContentId(actual), stream);
  markVerified(repository, actual, stream);
  if (actual !== diffId) onEvent?.({ kind: 'unverified', diffId, actual });
  onEvent?.({ kind: 'imported', diffId, stats });
  return { diffId, actual, stream, stats, entries };
}

async function collect(repository: Repository, stream: ObjectId, signal: AbortSignal): Promise<PlacedEntry[]> {
  const all: PlacedEntry[] = [];
  for await (const entries of new LayerSummary(repository, stream).entries(signal)) for (const entry of entries) all.push(entry);
  return all;
}

function checkObjects(repository: Repository, entries: readonly PlacedEntry[]): void {
  for (const { content } of entries) {
    if (content.kind === 'object' && !repository.objects.has(content.id)) throw new BridgeError('OBJECT_MISSING', `object ${content.id} is missing`);
  }
}
