import { constants } from 'node:fs';
import * as z from 'zod';
import { showBytes, type ByteString } from '../bytes.js';
import { BridgeError, NotFoundError } from '../errors.js';
import { isErrno, openBeneath, openDirectoryPath, type Fd, type OpenDir } from '../fd/fd.js';
import { files } from '../native.js';
import { lockShared, type LockWait, type StoreLock } from './lock.js';
import { noPermission, openDirectoryIn, openFile, parseJson, readSmallFile } from './read-file.js';
import { bigDataFile, imageRecordSchema, isIncomplete, layerRecordSchema, type ImageRecord, type LayerRecord } from './records.js';

export type Driver = 'overlay' | 'vfs';

const INDEX_LIMIT = 256 << 20;
const DIRECTORY = constants.O_RDONLY | constants.O_DIRECTORY;

interface Cached<T> {
  stamp: string;
  records: T;
}

/**
 * One graph root: the primary store, a separate image store or an additional read-only store. Keeps the
 * indexes it read until another process changes them.
 */
export class StoreRoot implements Disposable {
  readonly path: ByteString;
  readonly driver: Driver;
  /** Where tar-split files and the layers' big data lie. */
  readonly layersDir: Fd;
  readonly #imagesDir: Fd;
  readonly #treesDir: Fd;
  #layers: Cached<ReadonlyMap<string, LayerRecord>> | undefined;
  #images: Cached<readonly ImageRecord[]> | undefined;

  private constructor(path: ByteString, driver: Driver, layersDir: Fd, imagesDir: Fd, treesDir: Fd) {
    this.path = path;
    this.driver = driver;
    this.layersDir = layersDir;
    this.#imagesDir = imagesDir;
    this.#treesDir = treesDir;
  }

  /**
   * @param path absolute path of the graph root
   * @param driver taken from the directories that exist when left out
   * @param openTrees opens the directory that holds the layers' files
   * @returns undefined when the root exists, but holds nothing of this driver
   * @throws NotFoundError, BridgeError `NO_PERMISSION`, `UNKNOWN_DRIVER`
   */
  static open(path: ByteString, driver: Driver | undefined, openTrees: OpenDir): StoreRoot | undefined {
    using root = openRoot(path);
    const chosen = driver ?? detectDriver(root, path);
    using layersDir = openDirectoryIn(root, `${chosen}-layers`);
    using imagesDir = openDirectoryIn(root, `${chosen}-images`);
    if (!layersDir || !imagesDir) return undefined;
    const treesDir = openTrees(`${path}/${chosen}${chosen === 'vfs' ? '/dir' : ''}`);
    return new StoreRoot(path, chosen, layersDir.move(), imagesDir.move(), treesDir);
  }

  /** Waits for writers of the layers and keeps them away until disposed. */
  lockLayers(wait: LockWait = {}): Promise<StoreLock> {
    return lockShared(this.layersDir, 'layers.lock', wait);
  }

  /** Complete layers by ID, as they are now. Takes the lock only while reading. */
  async layers(wait: LockWait = {}): Promise<ReadonlyMap<string, LayerRecord>> {
    using lock = await this.lockLayers(wait);
    return this.layersUnder(lock);
  }

  /** The same for a caller that already holds the lock of the layers. */
  layersUnder(lock: StoreLock): ReadonlyMap<string, LayerRecord> {
    const indexes = ['layers.json', 'volatile-layers.json'];
    const stamp = stampOf(lock, this.layersDir, indexes);
    if (this.#layers?.stamp !== stamp) {
      const records = new Map<string, LayerRecord>();
      for (const record of indexes.flatMap((name) => readIndex(this.layersDir, name, layerRecordSchema))) {
        if (!isIncomplete(record)) records.set(record.id, record);
      }
      this.#layers = { stamp, records };
    }
    return this.#layers.records;
  }

  /** All images, as they are now. Takes the lock only while reading. */
  async images(wait: LockWait = {}): Promise<readonly ImageRecord[]> {
    using lock = await lockShared(this.#imagesDir, 'images.lock', wait);
    const stamp = stampOf(lock, this.#imagesDir, ['images.json']);
    if (this.#images?.stamp !== stamp) {
      this.#images = { stamp, records: readIndex(this.#imagesDir, 'images.json', imageRecordSchema) };
    }
    return this.#images.records;
  }

  /** Big data of an image (manifests, config), undefined when there is none of that key. */
  imageData(image: string, key: string, limit: number): Buffer | undefined {
    return readSmallFile(this.#imagesDir, `${image}/${bigDataFile(key)}`, limit);
  }

  /** Big data of a layer, undefined when there is none of that key. */
  layerData(layer: string, key: string, limit: number): Buffer | undefined {
    return readSmallFile(this.layersDir, `${layer}/${bigDataFile(key)}`, limit);
  }

  /**
   * The directory with the files of a layer.
   * @throws NotFoundError when this root does not have it
   */
  openTree(layer: string): Fd {
    try {
      if (this.driver === 'vfs') return openBeneath(this.#treesDir, layer, DIRECTORY);
      return this.#openDiff(layer);
    } catch (error) {
      if (!isErrno(error, 'ENOENT', 'ENOTDIR')) throw error;
      throw new NotFoundError('the files of the layer are gone', { cause: error, place: { layer } });
    }
  }

  /** A layer of an additional layer store has a symlink to wherever that store is mounted. */
  #openDiff(layer: string): Fd {
    using dir = openBeneath(this.#treesDir, layer, DIRECTORY);
    try {
      return openBeneath(dir, 'diff', DIRECTORY);
    } catch (error) {
      if (!isErrno(error, 'ELOOP')) throw error;
      using marker = openFile(dir, 'additionallayer');
      if (!marker) throw error;
      return openDirectoryPath(files.readlinkat(dir.number, 'diff'));
    }
  }

  /** Whether the layer's files are stored flat, named by content, as the driver does with `use_composefs`. */
  isFlat(layer: string): boolean {
    if (this.driver !== 'overlay') return false;
    using blob = openFile(this.#treesDir, `${layer}/composefs-data/composefs.blob`);
    return blob !== undefined;
  }

  [Symbol.dispose](): void {
    for (const fd of [this.layersDir, this.#imagesDir, this.#treesDir]) fd.close();
  }
}

function openRoot(path: ByteString): Fd {
  try {
    return openDirectoryPath(path);
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) throw new NotFoundError(`no containers-storage at ${showBytes(path)}`, { cause: error });
    throw isErrno(error, 'EACCES') ? noPermission(path, error) : error;
  }
}

/** Several drivers may have left directories behind; then only the configuration can tell which one is meant. */
function detectDriver(root: Fd, path: ByteString): Driver {
  const found = files.readdir(root.number).filter((name) => name.endsWith('-layers')).map((name) => name.slice(0, -'-layers'.length));
  const known = found.filter((name): name is Driver => name === 'overlay' || name === 'vfs');
  if (known.length === 1) return known[0]!;
  if (found.length === 0) throw new NotFoundError(`${showBytes(path)} is not a containers-storage: it has no layers`);
  const names = found.map(showBytes).join(', ');
  throw new BridgeError(
    'UNKNOWN_DRIVER',
    known.length > 1
      ? `${showBytes(path)} has layers of several drivers (${names}); say which one to read`
      : `${showBytes(path)} has layers of ${names}; overlay and vfs can be read`,
  );
}

function readIndex<T extends z.ZodType>(dir: Fd, name: string, schema: T): z.output<T>[] {
  const bytes = readSmallFile(dir, name, INDEX_LIMIT);
  return bytes === undefined ? [] : parseJson(bytes, z.array(schema), name);
}

/** Changes whenever the index does: the writers' token and, for stores nobody locks, the files' identity. */
function stampOf(lock: StoreLock, dir: Fd, names: string[]): string {
  const identities = names.map((name) => {
    using file = openFile(dir, name);
    if (!file) return '';
    const { ino, size, ctimeSec, ctimeNsec } = file.stat();
    return `${ino}:${size}:${ctimeSec}.${ctimeNsec}`;
  });
  return [lock.lastWrite(), ...identities].join(' ');
}
