import { BridgeError } from '../../errors.js';
import { DELTA_DICTIONARY_LIMIT } from '../../limits.js';
import { layerContentId } from '../../repository/names.js';
import type { Repository } from '../../repository/repository.js';
import { pullImage } from '../pull/pull.js';
import type { PullOptions, PullResult } from '../pull/types.js';
import { tarBlob } from '../source/blobs/tar-blob.js';
import { verifiedSource } from '../source/blobs/verified-blob.js';
import { imageSource, type LayerPart } from '../source/image-source.js';
import type { ImageSource } from '../source/source.js';
import { DeltaBase } from './base.js';
import { readDelta, type Delta } from './delta.js';
import { MemoryRoom } from './memory-room.js';
import { patchedLayer } from './patched-layer.js';
import { checkSignature } from './signature.js';

export interface ApplyDeltaOptions extends Omit<PullOptions, 'localFetch' | 'sealSource' | 'allowUnverified'> {
  /** how many layers to make at the same time; default: as many as the source gives at a time */
  parallel?: number | undefined;
  /** a public key in PEM form (ECDSA P-256), of which the delta has to bring a signature of the new manifest */
  verifyKey?: string | undefined;
}

/**
 * Makes an image of a delta and of the image that the delta changes, which has to be in the repository. Manifest and
 * config are those of the new image, byte for byte, each layer is checked against its diff_id, and what comes of it is
 * what a pull of the new image would have brought. Layers that are there already are not made again. Nothing is kept on
 * the way but objects.
 * @param delta an artifact whose type says that it is a delta, see `isDeltaSource`; not disposed
 * @throws BridgeError `DELTA_BASE` when the image that is changed is not there, `DELTA_SIGNATURE`, `LAYER_MISSING`;
 *   FormatError `DELTA`, `TAR_DIFF`, `COMPRESSION` for what is damaged, with the layer and the operation of its patch;
 *   DigestMismatchError; whatever source and repository throw; the signal's reason
 * @example
 * ```ts
 * import { applyDelta, openSource, Repository } from 'composefs-bridge';
 *
 * await using delta = await openSource('oci:/srv/delta');
 * using repository = await Repository.open('/var/lib/images', { write: true });
 * const { manifestDigest } = await applyDelta(repository, delta, { name: 'app' });
 * console.log(manifestDigest); // sha256:…
 * ```
 */
export async function applyDelta(
  repository: Repository,
  delta: ImageSource,
  { parallel, verifyKey, ...options }: ApplyDeltaOptions = {},
): Promise<PullResult> {
  const signal = options.signal ?? new AbortController().signal;
  const read = await readDelta(delta, signal);
  if (verifyKey !== undefined) await checkSignature(read, verifyKey, signal);
  const base = new DeltaBase(repository, read.sourceConfig, signal);
  if (read.layers.some(({ diffId, made }) => made?.kind === 'patch' && !hasLayer(repository, diffId)))
    await base.check();
  const room = new MemoryRoom(DELTA_DICTIONARY_LIMIT);
  const source = imageSource({
    manifest: read.manifest,
    config: read.config,
    layers: () => read.layers.map((layer) => layerPart(repository, layer, base, room)),
    trusted: delta.trusted,
    // Whole objects of the repository are what is shared.
    canShare: true,
    parallelLayers: parallel ?? delta.parallelLayers,
    close: () => undefined,
  });
  return pullImage(repository, source, { ...options, localFetch: 'auto', sealSource: false, allowUnverified: false });
}

function hasLayer(repository: Repository, diffId: string): boolean {
  return repository.streamObject(layerContentId(diffId)) !== undefined;
}

function layerPart(
  repository: Repository,
  { diffId, digest, made }: Delta['layers'][number],
  base: DeltaBase,
  room: MemoryRoom,
): LayerPart {
  return {
    diffId,
    size: undefined,
    open: async (signal) => {
      if (made === undefined)
        throw new BridgeError(
          'LAYER_MISSING',
          `the delta has nothing for layer ${digest}, which is not in the repository either, or is damaged`,
        );
      if (made.kind === 'whole') return tarBlob(await made.blob.open({ signal }), made.blob.digest);
      const root = await base.root();
      const patch = verifiedSource(await made.blob.open({ signal }), made.blob.digest);
      return patchedLayer(patch, { root, objects: repository.objects, room, signal });
    },
  };
}
