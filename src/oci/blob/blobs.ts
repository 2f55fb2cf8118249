import { BridgeError, FormatError, NotFoundError } from '../../errors.js';
import type { ImageFile, ImageFiles } from './image-files.js';
import { layerKind } from './layer-types.js';
import { checkDigest, JSON_LIMIT, type Descriptor } from '../manifest.js';
import { checkSize } from './verified-blob.js';

/** The blobs of an image, as files whose name follows from their digest. */
export class Blobs {
  readonly #files: ImageFiles;
  readonly #nameOf: (descriptor: Descriptor) => string;

  /** @param nameOf the file of a blob; digests in descriptors were checked and hold no `/` */
  constructor(files: ImageFiles, nameOf: (descriptor: Descriptor) => string) {
    this.#files = files;
    this.#nameOf = nameOf;
  }

  /**
   * Opens a blob.
   * @throws NotFoundError naming the digest; BridgeError `FOREIGN_LAYER` for one that is missing by its nature; FormatError
   */
  open(descriptor: Descriptor): ImageFile {
    const file = this.#files.open(this.#nameOf(descriptor));
    if (file !== undefined) return file;
    const { digest, mediaType, urls } = descriptor;
    if (layerKind(mediaType) !== 'foreign') throw new NotFoundError(`blob ${digest} (${mediaType}) is missing in ${this.#files.shown}`);
    const where = urls?.length ? `; it can be had from ${urls.join(' or ')}` : '';
    throw new BridgeError('FOREIGN_LAYER', `layer ${digest} is a foreign one (${mediaType}) that ${this.#files.shown} does not hold${where}`);
  }

  /**
   * Reads a manifest, index or config of up to 16 MiB and checks it.
   * @param what names it in messages
   * @throws as `open`; FormatError for a wrong or too large size, DigestMismatchError
   */
  read(what: string, descriptor: Descriptor): Buffer {
    using file = this.open(descriptor);
    checkSize(file, descriptor);
    if (file.size > JSON_LIMIT) throw new FormatError('FILE_TOO_LARGE', `${what} ${descriptor.digest} has ${file.size} bytes, at most ${JSON_LIMIT} are accepted`);
    const bytes = file.read(JSON_LIMIT);
    checkDigest(what, descriptor.digest, bytes);
    return bytes;
  }
}
