import type { LayerStream } from '../../layer/stream.js';
import type { StoredImage } from '../image.js';
import { lockShared, type LockWait } from '../lock.js';
import type { Store } from '../store.js';
import { findLayer, readLayers } from './find-layer.js';
import type { StoreFolders } from './folders.js';
import { putImage, type ImageToPut, type PutImageResult } from './put-image.js';
import { putLayer, type PutLayerOptions, type PutLayerResult } from './put-layer.js';
import { removeImage, removeNames } from './remove-image.js';
import { writeError } from './write-error.js';
import type { WriteSettings } from './settings.js';

/** A layer, by what is in it and below it. */
export interface LayerKey {
  /** id of the layer below; the lowest has none */
  parent?: string | undefined;
  /** sha256:… of the uncompressed tar */
  diffId: string;
}

/**
 * A containers-storage, opened for writing. podman and others may use it at the same time. Layers are put one after the
 * other, the lowest first, and then the image on them; until then nobody sees more than layers without an image.
 */
export interface WritableStore extends AsyncDisposable {
  /** The same store, for reading. */
  readonly reader: Store;

  /** Its folder, as it was given. */
  readonly graphroot: string;

  /** All images of the store, and of no other. @throws as `Store.images` */
  images(wait?: LockWait): Promise<StoredImage[]>;

  /**
   * The id of a layer that need not be written: the same content, on the same layers.
   * @returns undefined when there is none
   * @throws BridgeError `STORE_BUSY`; FormatError `BAD_JSON`
   */
  findLayer(key: LayerKey, wait?: LockWait): Promise<string | undefined>;

  /**
   * Writes a layer, or finds that it is there. Nobody sees it before its digest is known to be right and all of it is
   * on the disk. Layers of one store are not to be read from under a lock on that store at the same time.
   * @param stream is disposed as soon as it was read, or is not needed
   * @throws BridgeError `LAYER_GONE` when the layer below was removed, `STORE_UNSUPPORTED`, `STORE_BUSY`, `NO_SPACE`,
   *   `STORE_READ_ONLY`; DigestMismatchError; what `stream` and `extractLayer` throw; the signal's reason. The store is
   *   as it was then
   */
  putLayer(stream: LayerStream, options: PutLayerOptions): Promise<PutLayerResult>;

  /**
   * Puts an image on its layers, in one step: with all that belongs to it, under all its names.
   * @throws BridgeError `LAYER_GONE` when a layer is not in the store, `IMAGE_ID_TAKEN`, `STORE_UNSUPPORTED`,
   *   `STORE_BUSY`, `NO_SPACE`, `STORE_READ_ONLY`; DigestMismatchError; FormatError `BAD_REFERENCE`,
   *   `MANIFEST_INVALID`, `CONFIG_INVALID`, `LAYER_CHAIN`, `BAD_JSON`. The store is as it was then
   */
  putImage(image: ImageToPut, wait?: LockWait): Promise<PutImageResult>;

  /**
   * Takes names from the images that have them; the images stay.
   * @param names as `images` shows them: `docker.io/library/debian:12`
   * @returns ids of the images that had one
   * @throws BridgeError `STORE_BUSY`, `NO_SPACE`, `STORE_READ_ONLY`; FormatError `BAD_JSON`
   */
  removeNames(names: readonly string[], wait?: LockWait): Promise<string[]>;

  /**
   * Removes an image under all its names, and the layers that nothing else needs.
   * @param id 64 hexadecimal digits
   * @returns ids of the removed layers; undefined when there is no such image
   * @throws BridgeError `IMAGE_IN_USE` when a container uses it or it is mounted, `STORE_BUSY`, `NO_SPACE`,
   *   `STORE_READ_ONLY`; FormatError `BAD_JSON`
   */
  removeImage(id: string, wait?: LockWait): Promise<string[] | undefined>;

  /** Lets go of the store. May be called again. */
  close(): Promise<void>;
}

/** One that this process writes into itself. */
export class DirectlyWritableStore implements WritableStore {
  readonly reader: Store;
  readonly #folders: StoreFolders;
  readonly #settings: WriteSettings;

  /** @internal */
  constructor(folders: StoreFolders, reader: Store, settings: WriteSettings) {
    this.#folders = folders;
    this.reader = reader;
    this.#settings = settings;
  }

  get graphroot(): string {
    return this.#folders.graphroot;
  }

  async images(wait: LockWait = {}): Promise<StoredImage[]> {
    return await this.reader.images(wait);
  }

  async findLayer({ parent, diffId }: LayerKey, wait: LockWait = {}): Promise<string | undefined> {
    using lock = await lockShared(this.#folders.layers, 'layers.lock', wait);
    return findLayer(this.#folders, readLayers(this.#folders, lock), parent, diffId);
  }

  async putLayer(stream: LayerStream, options: PutLayerOptions): Promise<PutLayerResult> {
    return await this.#guard(`layer ${options.diffId}`, () => putLayer(this.#folders, this.#settings, stream, options));
  }

  async putImage(image: ImageToPut, wait: LockWait = {}): Promise<PutImageResult> {
    return await this.#guard('image', () => putImage(this.#folders, image, wait));
  }

  async removeNames(names: readonly string[], wait: LockWait = {}): Promise<string[]> {
    return await this.#guard('names', () => removeNames(this.#folders, new Set(names), wait));
  }

  async removeImage(id: string, wait: LockWait = {}): Promise<string[] | undefined> {
    return await this.#guard(`image ${id}`, () => removeImage(this.#folders, this.#settings.runroot, id, wait));
  }

  async close(): Promise<void> {
    this.reader.close();
    this.#folders[Symbol.dispose]();
    await Promise.resolve();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #guard<T>(what: string, write: () => Promise<T>): Promise<T> {
    try {
      return await write();
    } catch (error) {
      throw writeError(error, what, this.graphroot);
    }
  }
}
