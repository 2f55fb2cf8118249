// An image that a client of the proxy has opened: its documents in OCI's form, and its blobs.
import { bytesSource, type ByteSource } from '../../fd/byte-source.js';
import type { LayerStream } from '../../layer/stream.js';
import { NotFoundError } from '../../errors.js';
import type { ImageSource, LayerSource } from '../../oci/source/source.js';
import { digestLike, isContainerImage, MEDIA_TYPES, parseManifest, type Manifest } from '../../spec/manifest.js';
import type { Platform } from '../../spec/platform.js';
import { ociConfig, ociManifest, type OciConfig } from '../../spec/oci-form.js';
import { ProxyFault } from './proxy-fault.js';

/** Where the bytes of a blob come from; disposed by whoever asked for it. */
export type BlobContent =
  | { kind: 'bytes'; source: ByteSource }
  /** a tar that is put together */
  | { kind: 'layer'; source: LayerStream };

export interface ProxyBlob {
  /** in bytes; undefined: not known */
  size: number | undefined;
  content: BlobContent;
}

/** As GetLayerInfo lists it; the size in bytes, -1 where it is not known. */
interface ProxyLayer {
  digest: string;
  size: number;
  media_type: string;
}

/** Closed when its client has closed it and no blob of it is read any more. */
export class ProxyImage {
  readonly #source: ImageSource;
  readonly #manifest: Manifest;
  readonly #isDocker: boolean;
  #converted: { manifest: Buffer; config: Buffer; configDigest: string } | undefined;
  #users = 1;

  /** @param reference and `platform`: by which it was opened */
  constructor(
    readonly reference: string,
    source: ImageSource,
    readonly platform?: Platform | undefined,
  ) {
    this.#source = source;
    this.#manifest = parseManifest(source.manifest);
    this.#isDocker = isDockerManifest(this.#manifest);
  }

  /** Of the manifest as it is stored, before it is converted. */
  get digest(): string {
    return digestLike('sha256:', this.#source.manifest);
  }

  /** The manifest in OCI's form. @throws FormatError */
  manifest(): Buffer {
    return this.#isDocker ? this.#conversion().manifest : this.#source.manifest;
  }

  /** @throws FormatError; ProxyFault for an artifact */
  config(): OciConfig {
    if (!this.#isDocker && this.#manifest.config.mediaType !== MEDIA_TYPES.config) {
      const type = this.#manifest.artifactType ?? this.#manifest.config.mediaType;
      throw new ProxyFault(`unsupported image-specific operation on artifact with type ${JSON.stringify(type)}`);
    }
    return ociConfig(this.#source.config);
  }

  /** What blobs the layers can be had as: their tars, where they lie unpacked. */
  layers(): ProxyLayer[] {
    if (!this.#isUnpacked)
      return this.#manifest.layers.map(({ digest, size, mediaType }) => ({ digest, size, media_type: mediaType }));
    return this.#source.layers.map(({ diffId, size = -1 }) => ({
      digest: diffId,
      size,
      media_type: this.#isDocker
        ? 'application/vnd.docker.image.rootfs.diff.tar'
        : 'application/vnd.oci.image.layer.v1.tar',
    }));
  }

  /**
   * Starts reading a blob. What comes is not verified.
   * @throws NotFoundError; what the source throws
   */
  async blob(digest: string, signal: AbortSignal): Promise<ProxyBlob> {
    const bytes = this.#document(digest);
    if (bytes !== undefined) return { size: bytes.length, content: { kind: 'bytes', source: bytesSource(bytes) } };
    const layer = this.#isUnpacked ? this.#layer(digest) : undefined;
    if (layer !== undefined)
      return { size: layer.size, content: { kind: 'layer', source: await layer.open({ signal }) } };
    const found = await this.#source.findBlob?.(digest, { signal });
    if (found === undefined) throw new NotFoundError(`the image has no blob ${digest}`);
    return { size: found.size, content: { kind: 'bytes', source: found.bytes } };
  }

  /** One more reader, who has to call `release`. */
  retain(): void {
    this.#users++;
  }

  async release(): Promise<void> {
    this.#users--;
    if (this.#users === 0) await this.#source.close();
  }

  get #isUnpacked(): boolean {
    return this.#source.canShare && isContainerImage(this.#manifest, this.#source.config);
  }

  #layer(digest: string): LayerSource | undefined {
    return this.#source.layers.find(({ diffId }) => diffId === digest);
  }

  /** What is in memory anyway: also the config that a converted manifest names, which is stored nowhere. */
  #document(digest: string): Buffer | undefined {
    if (digest === this.#manifest.config.digest) return this.#source.config;
    if (digest === digestLike(digest, this.#source.manifest)) return this.#source.manifest;
    return this.#isDocker && digest === this.#conversion().configDigest ? this.#conversion().config : undefined;
  }

  #conversion(): { manifest: Buffer; config: Buffer; configDigest: string } {
    if (this.#converted === undefined) {
      const config = ociConfig(this.#source.config).full;
      this.#converted = {
        config,
        manifest: ociManifest(this.#manifest.layers, config),
        configDigest: digestLike('sha256:', config),
      };
    }
    return this.#converted;
  }
}

function isDockerManifest({ mediaType, config }: Manifest): boolean {
  return mediaType === undefined
    ? config.mediaType === MEDIA_TYPES.dockerConfig
    : mediaType === MEDIA_TYPES.dockerManifest;
}
