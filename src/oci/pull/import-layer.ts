import { debug } from '../../debug.js';
import { DigestMismatchError } from '../../errors.js';
import type { ObjectId } from '../../fsverity/object-id.js';
import type { LayerStream, PackedBlob } from '../../layer/stream.js';
import type { Repository } from '../../repository/repository.js';
import { Staging } from '../../repository/staging.js';
import type { LayerSource } from '../source/source.js';
import { withLayer } from './layer-error.js';
import { LayerImporter } from './layer-importer.js';
import type { EntrySink } from './layers-in-order.js';
import type { LayerPolicy } from '../../repository/local-fetch.js';
import { describeObjects, type LayerStats } from './stats.js';

export interface ImportedLayer {
  /** The digest the tar really has, `sha256:` and hex. */
  diffId: string;
  /** The splitstream as an object. It has no name in `streams/` yet. */
  stream: ObjectId;
  stats: LayerStats;
  /** what it came out of, where that was a blob */
  blob: PackedBlob | undefined;
}

export interface ImportOptions {
  policy: LayerPolicy;
  signal: AbortSignal;
  /** take the tar as it is, whatever its diff_id */
  allowUnverified?: boolean | undefined;
  /** gets all entries in tar order, some at a time, before it is known whether the layer is the right one */
  entries?: EntrySink | undefined;
  /** called now and then with the number of tar bytes that are done */
  onProgress?: ((tarBytes: number) => void) | undefined;
}

/**
 * Reads a layer once: hashes its tar, stores its files as objects, writes its splitstream and hands out its entries.
 * The layer's stream is disposed when the content is safe, and on every failure. Files of a source that is not trusted
 * become objects only when the whole layer is the right one: what such a source gives may be what its owner could not
 * read himself.
 * @throws DigestMismatchError when the tar is another one: objects of a trusted source may have been stored, but
 *   nothing refers to them
 * @throws BridgeError with the place for anything wrong in the stream, its files or the repository
 */
export async function importLayer(
  repository: Repository,
  layer: LayerSource,
  options: ImportOptions,
): Promise<ImportedLayer> {
  using staging = options.policy.trusted ? undefined : Staging.make(repository);
  const objects = staging?.objects ?? repository.objects;
  const importer = new LayerImporter(objects, options.policy, (entries) => {
    options.entries?.add(entries);
    options.onProgress?.(importer.size);
  });
  const { diffId, blob } = await readLayer(importer, layer, options);
  await staging?.land();
  debug(
    () =>
      `layer ${diffId}: ${describeObjects(importer.stats)}; did not work: ` +
      `${objects.refusals().join(', ') || 'nothing'}`,
  );
  return { diffId, stream: await importer.storeStream(repository.objects), stats: importer.stats, blob };
}

/** @returns the digest of the tar, and what it came out of */
async function readLayer(
  importer: LayerImporter,
  layer: LayerSource,
  { policy, signal, allowUnverified = false }: ImportOptions,
): Promise<Pick<ImportedLayer, 'diffId' | 'blob'>> {
  const { pipeline } = importer;
  const stream = await openLayer(layer, signal);
  using _stopping = pipeline.stopOn(signal);
  using _watching = pipeline.watch(policy.silenceLimit);
  try {
    for await (const chunks of stream) {
      signal.throwIfAborted();
      importer.take(chunks);
      await importer.pause();
    }
    const diffId = await importer.end();
    if (!allowUnverified) checkDiffId(layer.diffId, diffId);
    return { diffId, blob: stream.blob ?? (diffId === layer.diffId ? layer.packed : undefined) };
  } catch (error) {
    const ofPool = error === pipeline.failure;
    await pipeline.abandon();
    if (signal.aborted) throw withLayer(signal.reason, layer.diffId);
    await pipeline.withdrawWrong();
    // By now its place may be known.
    throw withLayer(ofPool ? pipeline.failure : error, layer.diffId);
  } finally {
    await stream[Symbol.asyncDispose]();
  }
}

async function openLayer(layer: LayerSource, signal: AbortSignal): Promise<LayerStream> {
  try {
    return await layer.open({ signal });
  } catch (error) {
    throw withLayer(error, layer.diffId);
  }
}

function checkDiffId(expected: string, actual: string): void {
  if (actual === expected) return;
  throw new DigestMismatchError(
    'the layer is not what its diff_id says, nothing of it was published',
    expected,
    actual,
    {
      place: { layer: expected },
    },
  );
}
