import type { Abortable } from '../../abortable.js';
import type { ByteSource } from '../../fd/byte-source.js';
import type { LayerStream, PackedBlob } from '../../layer/stream.js';
import type { Descriptor } from '../../spec/manifest.js';

/** One layer of an image, wherever it is. */
export interface LayerSource {
  /** What the image's config says the digest of the layer's tar is. */
  diffId: string;
  /** Length of the tar in bytes, when the source knows it. */
  size: number | undefined;
  /** Starts reading; may be called again after the stream was disposed. */
  open(options?: Abortable): Promise<LayerStream>;
  /** The blob that the manifest lists, where the source has it, and it is another one than the tar. */
  blob?: BlobSource | undefined;
  /** The blob that it came out of, where that was seen and is not just what the manifest says. */
  packed?: PackedBlob | undefined;
  /** The layer has its name: nothing has to be kept that would save reading it again. */
  landed?: (() => void) | undefined;
}

/** One blob of an artifact, wherever it is. */
export interface BlobSource {
  digest: string;
  /** in bytes */
  size: number;
  /**
   * Starts reading. What comes need not be what the digest says; each piece is valid until the next one is asked for.
   */
  open(options?: Abortable): Promise<ByteSource>;
  /** As for layers. */
  landed?: (() => void) | undefined;
}

/** A blob that was asked for by its digest. The bytes are not verified. */
export interface FoundBlob {
  /** in bytes, of the blob as it is there; undefined where that is not known yet */
  size: number | undefined;
  /** Disposed by whoever asked. */
  bytes: ByteSource;
}

export interface FindOptions extends Abortable {
  /** what it should have, in bytes, if that is known */
  size?: number | undefined;
}

/** A manifest that says it belongs to an image. */
export interface Referrer {
  /** as it is listed; `artifactType` and annotations may be missing */
  descriptor: Descriptor;
  /** Its exact bytes. */
  manifest(signal: AbortSignal): Promise<Buffer>;
  /** What it is the manifest of; valid as long as the image's source. */
  open(signal: AbortSignal): Promise<ImageSource>;
}

/** What kind of source it is: what a pull may do with it, and how. */
export interface SourceTraits {
  /** Whether only root or this user, who could do any harm anyway, can write to the image's files. */
  trusted: boolean;
  /** Whether its files lie unpacked, so that a repository may share them; content out of a tar is always new. */
  canShare: boolean;
  /** How many layers may be read at the same time. */
  parallelLayers: number;
  /** Milliseconds that reading one of its files may pause, where somebody else passes them; default: forever. */
  silenceLimit?: number | undefined;
}

/** What a containers-storage keeps with an image, and no document of the image says. */
export interface StoreExtras {
  /** normalised; undefined for an image that has none where it is, as only a store gives names */
  names: readonly string[] | undefined;
  /** those that it had */
  namesHistory: readonly string[];
  /** as they are kept, in order */
  signatures: readonly Buffer[];
  /** those that it was pulled through: exact bytes, and what is signed of them */
  lists: readonly { manifest: Buffer; signatures: readonly Buffer[] }[];
}

/** An image that can be pulled. `close` or `await using` gives back connections and store handles. */
export interface ImageSource extends SourceTraits, AsyncDisposable {
  /** The exact bytes of the manifest. */
  manifest: Buffer;
  /** The exact bytes of the config, as the manifest's digest of it demands. */
  config: Buffer;
  /** Base first, as many as the config has diff_ids; none for an artifact. */
  layers: readonly LayerSource[];
  /** What an artifact's manifest lists instead of layers, where the source has artifacts. */
  blobs?: readonly BlobSource[] | undefined;
  /**
   * Any blob of the place that the image is in, its config among them; left out by sources that have none.
   * @param digest checked to be one
   * @throws NotFoundError; as `openSource`
   */
  findBlob?: ((digest: string, options?: FindOptions) => Promise<FoundBlob>) | undefined;
  /**
   * What else a containers-storage keeps with it; left out by sources that have nothing of it.
   * @throws FormatError, NotFoundError, DigestMismatchError for what is damaged
   */
  extras?: (() => StoreExtras) | undefined;
  /** Lists what refers to the image; left out by sources that do not know. */
  referrers?: ((signal: AbortSignal) => Promise<readonly Referrer[]>) | undefined;
  close(): Promise<void>;
}
