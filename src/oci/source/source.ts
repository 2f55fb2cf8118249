import type { ByteSource } from '../../layer/byte-source.js';
import type { LayerStream } from '../../layer/stream.js';

/** One layer of an image, wherever it is. */
export interface LayerSource {
  /** What the image's config says the digest of the layer's tar is. */
  diffId: string;
  /** Length of the tar in bytes, when the source knows it. */
  size: number | undefined;
  /** Starts reading; may be called again after the stream was disposed. */
  open(signal: AbortSignal): Promise<LayerStream>;
}

/** One blob of an artifact, wherever it is. */
export interface BlobSource {
  digest: string;
  /** in bytes */
  size: number;
  /** Starts reading. What comes need not be what the digest says; each piece is valid until the next one is asked for. */
  open(): ByteSource;
}

/** An image that can be pulled. Disposing it gives back connections and store handles. */
export interface ImageSource extends AsyncDisposable {
  /** The exact bytes of the manifest. */
  manifest: Buffer;
  /** The exact bytes of the config, as the manifest's digest of it demands. */
  config: Buffer;
  /** Base first, as many as the config has diff_ids; none for an artifact. */
  layers: readonly LayerSource[];
  /** What an artifact's manifest lists instead of layers, where the source has artifacts. */
  blobs?: readonly BlobSource[];
  /** Whether whoever can write to the image's files is root or this user, who could do any harm anyway. */
  trusted: boolean;
  /** How many layers may be read at the same time. */
  parallelLayers: number;
}
