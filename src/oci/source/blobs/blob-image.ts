import { FormatError } from '../../../errors.js';
import { layerKind } from '../../../spec/layer-types.js';
import { parseManifest, type Descriptor } from '../../../spec/manifest.js';
import { blobSource, forEachLayer, imageSource, type LayerPart } from '../image-source.js';
import { PARALLEL_LAYERS } from '../parallel-layers.js';
import type { ImageSource, StoreExtras } from '../source.js';
import type { ImageBlobs } from './blobs.js';
import type { ImageFiles } from './image-files.js';
import { tarBlob } from './tar-blob.js';

/** What blobs are in. */
export interface BlobsHolder {
  /** whether nobody but root and the caller can have put them there */
  trusted: boolean;
  parallelLayers: number;
  /** what else a containers-storage keeps with the image */
  extras?: () => StoreExtras;
  /** gives it back with the image */
  close: () => void | Promise<void>;
}

/** The files of an image are what its blobs are in. */
export function ofFiles(files: ImageFiles): BlobsHolder {
  return { trusted: files.trusted, parallelLayers: PARALLEL_LAYERS.content, close: () => files[Symbol.dispose]() };
}

/**
 * An image or artifact whose manifest, config and layers are blobs.
 * @param manifest its exact bytes, checked already
 * @throws NotFoundError, FormatError, DigestMismatchError for its config; FormatError `LAYER_TYPE` when an image has a
 *   layer that is not a tar
 */
export async function blobImage(manifest: Buffer, blobs: ImageBlobs, holder: BlobsHolder): Promise<ImageSource> {
  return imageSource({
    ...holder,
    manifest,
    config: await blobs.read('config', parseManifest(manifest).config),
    layers: (diffIds, { layers }) =>
      forEachLayer(diffIds, layers, 'the manifest lists', (diffId, descriptor) => tarLayer(diffId, descriptor, blobs)),
    openBlob: (descriptor, signal) => blobs.open(descriptor, signal),
    findBlob: (digest, options = {}) => blobs.find({ ...listed(manifest, digest), ...options, digest }),
    canShare: false,
  });
}

/** What the manifest says of a blob; a layer may have to be had from somewhere else. */
function listed(manifest: Buffer, digest: string): Pick<Descriptor, 'urls' | 'mediaType'> | undefined {
  const { layers } = parseManifest(manifest);
  const { urls, mediaType } = layers.find((layer) => layer.digest === digest) ?? {};
  return mediaType === undefined ? undefined : { urls, mediaType };
}

function tarLayer(diffId: string, descriptor: Descriptor, blobs: ImageBlobs): LayerPart {
  const { mediaType, digest } = descriptor;
  if (layerKind(mediaType) === undefined)
    throw new FormatError(
      'LAYER_TYPE',
      `layer ${digest} of the image has the type ${mediaType}, which is not that of a tar`,
    );
  const { size } = descriptor;
  const landed = (): void => blobs.landed?.(descriptor);
  return {
    diffId,
    size: digest === diffId ? size : undefined,
    open: async (signal) => tarBlob(await blobs.open(descriptor, signal), digest),
    blob: digest === diffId ? undefined : blobSource(descriptor, (...blob) => blobs.open(...blob), landed),
    landed,
  };
}
