import { BridgeError, FormatError } from '../../errors.js';
import type { Blobs } from './blobs.js';
import { layerKind } from './layer-types.js';
import { isContainerImage, parseConfig, parseManifest, type Descriptor } from '../manifest.js';
import { PARALLEL_LAYERS } from './parallel-layers.js';
import type { ImageSource, LayerSource } from '../source/source.js';
import { tarBlob } from './tar-blob.js';
import { checkSize } from './verified-blob.js';

/**
 * An image or artifact whose manifest, config and layers are blobs.
 * @param manifest its exact bytes, checked already
 * @param owned closed with the image
 * @throws NotFoundError, FormatError, DigestMismatchError for its config; FormatError `LAYER_TYPE` when an image has a layer that
 *   is not a tar
 */
export function blobImage(manifest: Buffer, blobs: Blobs, owned: Disposable): ImageSource {
  const parsed = parseManifest(manifest);
  const config = blobs.read('config', parsed.config);
  const common = { manifest, config, trusted: true, parallelLayers: PARALLEL_LAYERS, [Symbol.asyncDispose]: async () => owned[Symbol.dispose]() };
  if (isContainerImage(parsed)) return { ...common, layers: tarLayers(parsed.layers, parseConfig(config).rootfs.diff_ids, blobs) };
  return {
    ...common,
    layers: [],
    blobs: parsed.layers.map((descriptor) => ({
      digest: descriptor.digest,
      size: descriptor.size,
      open: () => {
        using file = blobs.open(descriptor);
        checkSize(file, descriptor);
        return file.source();
      },
    })),
  };
}

function tarLayers(descriptors: readonly Descriptor[], diffIds: readonly string[], blobs: Blobs): LayerSource[] {
  if (descriptors.length !== diffIds.length) {
    throw new BridgeError('LAYER_CHAIN', `the manifest lists ${descriptors.length} layers, the config ${diffIds.length}`);
  }
  return descriptors.map((descriptor, index) => {
    const { mediaType, digest } = descriptor;
    if (layerKind(mediaType) === undefined) {
      throw new FormatError('LAYER_TYPE', `layer ${digest} of the image has the type ${mediaType}, which is not that of a tar`);
    }
    const diffId = diffIds[index] as string;
    return {
      diffId,
      size: digest === diffId ? descriptor.size : undefined,
      open: async () => tarBlob(blobs.open(descriptor), descriptor),
    };
  });
}
