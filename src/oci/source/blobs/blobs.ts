import { BridgeError, FormatError, NotFoundError } from '../../../errors.js';
import { DOCUMENT_LIMIT } from '../../../limits.js';
import type { ByteSource } from '../../../fd/byte-source.js';
import type { ImageFile, ImageFiles } from './image-files.js';
import type { FindOptions, FoundBlob } from '../source.js';
import { layerKind } from '../../../spec/layer-types.js';
import { checkDigest, type Descriptor } from '../../../spec/manifest.js';
import { checkSize, sizedSource } from './verified-blob.js';

/** A blob that is asked for by its digest. */
export interface BlobQuery extends FindOptions {
  digest: string;
  mediaType?: string | undefined;
  urls?: Descriptor['urls'];
}

/** The blobs of an image, wherever they are. */
export interface ImageBlobs {
  /**
   * Starts reading a blob. What comes need not be what the digest says, but there are as many bytes as the size says,
   * or an error.
   * @throws NotFoundError naming the digest; BridgeError `FOREIGN_LAYER` for one that is missing by its nature;
   *   FormatError
   */
  open(descriptor: Descriptor, signal: AbortSignal): Promise<ByteSource>;
  /** What a blob was read for has its name: nothing has to be kept of it. */
  landed?(descriptor: Descriptor): void;
  /**
   * Reads a manifest, index or config of up to 16 MiB and checks it.
   * @param what names it in messages
   * @throws as `open`; FormatError for a wrong or too large size, DigestMismatchError
   */
  read(what: string, descriptor: Descriptor): Promise<Buffer>;
  /**
   * Starts reading a blob of which the digest is known.
   * @throws as `open`
   */
  find(query: BlobQuery): Promise<FoundBlob>;
}

/** Blobs that are files whose name follows from their digest. */
export class FileBlobs implements ImageBlobs {
  readonly #files: ImageFiles;
  readonly #nameOf: (descriptor: Descriptor) => string;

  /** @param nameOf the file of a blob; digests in descriptors were checked and hold no `/` */
  constructor(files: ImageFiles, nameOf: (descriptor: Descriptor) => string) {
    this.#files = files;
    this.#nameOf = nameOf;
  }

  async open(descriptor: Descriptor): Promise<ByteSource> {
    return sizedSource(this.#file(descriptor), descriptor);
  }

  async read(what: string, descriptor: Descriptor): Promise<Buffer> {
    using file = this.#file(descriptor);
    checkSize(file, descriptor);
    if (file.size > DOCUMENT_LIMIT)
      throw new FormatError(
        'FILE_TOO_LARGE',
        `${what} ${descriptor.digest} has ${file.size} bytes, at most ${DOCUMENT_LIMIT} are accepted`,
      );
    const bytes = file.read(DOCUMENT_LIMIT);
    checkDigest(what, descriptor.digest, bytes);
    return bytes;
  }

  async find({ digest, mediaType = 'of any type', urls }: BlobQuery): Promise<FoundBlob> {
    using file = this.#file({ digest, mediaType, urls, size: 0, annotations: undefined, artifactType: undefined });
    const { size } = file;
    return { size, bytes: file.source() };
  }

  #file(descriptor: Descriptor): ImageFile {
    const file = this.#files.open(this.#nameOf(descriptor));
    if (file !== undefined) return file;
    const { digest, mediaType, urls } = descriptor;
    if (layerKind(mediaType) !== 'foreign')
      throw new NotFoundError(`blob ${digest} (${mediaType}) is missing in ${this.#files.shown}`);
    const where = urls?.length ? `; it can be had from ${urls.join(' or ')}` : '';
    throw new BridgeError(
      'FOREIGN_LAYER',
      `layer ${digest} is a foreign one (${mediaType}) that ${this.#files.shown} does not hold${where}`,
    );
  }
}
