import type { ByteSource } from '../../fd/byte-source.js';
import { BridgeError } from '../../errors.js';
import type { LayerStream } from '../../layer/stream.js';
import { parseImage } from '../../spec/image.js';
import type { Descriptor, Manifest } from '../../spec/manifest.js';
import type {
  BlobSource,
  FindOptions,
  FoundBlob,
  ImageSource,
  LayerSource,
  SourceTraits,
  StoreExtras,
} from './source.js';

/** A `LayerSource` that is asked with a signal in any case. */
export interface LayerPart extends Omit<LayerSource, 'open'> {
  open: (signal: AbortSignal) => Promise<LayerStream>;
}

/** What is each source's own; all else follows from manifest and config. */
export interface SourceParts extends SourceTraits {
  /** exact bytes */
  manifest: Buffer;
  /** exact bytes */
  config: Buffer;
  /** The layers of a container image, one for each of its config's diff_ids. */
  layers: (diffIds: readonly string[], manifest: Manifest) => LayerPart[];
  /** Starts reading a blob of an artifact; left out by sources that have none. */
  openBlob?: (descriptor: Descriptor, signal: AbortSignal) => Promise<ByteSource>;
  /** Any blob by its digest; see `ImageSource`. */
  findBlob?: (digest: string, options?: FindOptions) => Promise<FoundBlob>;
  /** What else a containers-storage keeps with it; see `ImageSource`. */
  extras?: () => StoreExtras;
  /** Gives back what the source holds. */
  close: () => void | Promise<void>;
}

/** Makes a source of its parts. @throws FormatError for manifest and config; what `layers` throws */
export function imageSource({ manifest, config, layers, openBlob, close, ...traits }: SourceParts): ImageSource {
  const parsed = parseImage(manifest, config);
  return {
    ...traits,
    manifest,
    config,
    ...(parsed.config === undefined
      ? { layers: [], blobs: openBlob && parsed.manifest.layers.map((blob) => blobSource(blob, openBlob)) }
      : { layers: layers(parsed.config.rootfs.diff_ids, parsed.manifest).map(layerSource) }),
    close: async () => close(),
    [Symbol.asyncDispose]: async () => close(),
  };
}

function layerSource({ open, ...layer }: LayerPart): LayerSource {
  return { ...layer, open: ({ signal = never() } = {}) => open(signal) };
}

/** A blob of an image or artifact. */
export function blobSource(
  descriptor: Descriptor,
  openBlob: NonNullable<SourceParts['openBlob']>,
  landed?: () => void,
): BlobSource {
  const { digest, size } = descriptor;
  return { digest, size, open: ({ signal = never() } = {}) => openBlob(descriptor, signal), landed };
}

function never(): AbortSignal {
  return new AbortController().signal;
}

/**
 * Pairs what a source has for its layers with the diff_ids that they must have.
 * @param who has them, and lists them: `the manifest lists`
 * @throws BridgeError `LAYER_CHAIN` when there are more or fewer
 */
export function forEachLayer<T>(
  diffIds: readonly string[],
  items: readonly T[],
  who: string,
  layer: (diffId: string, item: T, index: number) => LayerPart,
): LayerPart[] {
  if (items.length !== diffIds.length)
    throw new BridgeError('LAYER_CHAIN', `${who} ${items.length} layers, the config ${diffIds.length}`);
  return items.map((item, index) => layer(diffIds[index] as string, item, index));
}
