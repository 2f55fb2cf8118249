import { constants } from 'node:fs';
import * as z from 'zod';
import { showBytes, type ByteString } from '../bytes.js';
import { BridgeError, NotFoundError } from '../errors.js';
import { isErrno, openBeneath, type Fd, type OpenDir } from '../fd/fd.js';
import { openFolderByOwnLinks } from '../fd/own-links.js';
import { isRootOrSelf } from '../fd/peer.js';
import { STORE_INDEX_LIMIT } from '../limits.js';
import { files } from '../native.js';
import { ForeignOwner } from './foreign-store.js';
import { lockShared, type LockWait, type StoreLock } from './lock.js';
import { noPermission, openFile, parseJson, readStoreFile, type StoreFolder } from './read-file.js';
import {
  bigDataFile,
  imageRecordSchema,
  isIncomplete,
  layerRecordSchema,
  OddRecord,
  parseRecords,
  type ImageRecord,
  type LayerRecord,
} from './records.js';

export type Driver = 'overlay' | 'vfs';

const DIRECTORY = constants.O_RDONLY | constants.O_DIRECTORY;
const OTHERS_WRITE = 0o022;

interface Folders {
  layers: Fd;
  images: Fd;
  trees: Fd;
}

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
  /** Whether nobody but root and the caller can write into its folders. */
  readonly trusted: boolean;
  /** Where tar-split files and the layers' big data lie. */
  readonly #layersDir: Fd;
  readonly #imagesDir: Fd;
  readonly #treesDir: Fd;
  /** undefined where it is root or the caller */
  readonly #owner: ForeignOwner | undefined;
  #layers: Cached<ReadonlyMap<string, LayerRecord | OddRecord>> | undefined;
  #images: Cached<readonly (ImageRecord | OddRecord)[]> | undefined;

  private constructor(
    path: ByteString,
    driver: Driver,
    { layers, images, trees }: Folders,
    owner: ForeignOwner | undefined,
    trusted: boolean,
  ) {
    this.path = path;
    this.driver = driver;
    this.trusted = trusted;
    this.#layersDir = layers;
    this.#imagesDir = images;
    this.#treesDir = trees;
    this.#owner = owner;
  }

  /**
   * @param path absolute path of the graph root
   * @param driver taken from the directories that exist when left out
   * @param openTrees another way to open the directory that holds the layers' files, taken where it leads to the same
   *   one
   * @returns undefined when the root exists, but holds nothing of this driver
   * @throws NotFoundError, BridgeError `NO_PERMISSION`, `UNKNOWN_DRIVER`, `FOREIGN_SYMLINK`, `FOREIGN_FILE`
   */
  static open(path: ByteString, driver: Driver | undefined, openTrees?: OpenDir): StoreRoot | undefined {
    using root = openRoot(path);
    const chosen = driver ?? detectDriver(root, path);
    using layers = openFolder(root, `${chosen}-layers`);
    using images = openFolder(root, `${chosen}-images`);
    if (!layers || !images) return undefined;
    const treesPath = `${chosen}${chosen === 'vfs' ? '/dir' : ''}`;
    using direct = openFolderByOwnLinks(treesPath, root);
    using other = openTrees?.(`${path}/${treesPath}`);
    // The other way goes by the path, which may lead through a stranger's symlink.
    using trees = other && isSameFolder(other, direct) ? other.move() : direct.move();
    const folders = [root, layers, images, trees];
    const owner = ForeignOwner.of(folders);
    for (const folder of folders) owner?.checkFolder(folder, path);
    const trusted = !folders.some(isWritableForOthers);
    return new StoreRoot(
      path,
      chosen,
      { layers: layers.move(), images: images.move(), trees: trees.move() },
      owner,
      trusted,
    );
  }

  /** Waits for writers of the layers and keeps them away until disposed. */
  lockLayers(wait: LockWait = {}): Promise<StoreLock> {
    return lockShared(this.#layersDir, 'layers.lock', wait);
  }

  /** Complete layers by ID, as they are now. Takes the lock only while reading. */
  async layers(wait: LockWait = {}): Promise<ReadonlyMap<string, LayerRecord | OddRecord>> {
    using lock = await this.lockLayers(wait);
    return this.layersUnder(lock);
  }

  /** The same for a caller that already holds the lock of the layers. */
  layersUnder(lock: StoreLock): ReadonlyMap<string, LayerRecord | OddRecord> {
    const indexes = ['layers.json', 'volatile-layers.json'];
    const stamp = stampOf(lock, this.#layersDir, indexes);
    if (this.#layers?.stamp !== stamp) {
      const records = new Map<string, LayerRecord | OddRecord>();
      for (const record of indexes.flatMap((name) =>
        readIndex(this.#below(this.#layersDir), name, layerRecordSchema),
      )) {
        if (record instanceof OddRecord || !isIncomplete(record)) records.set(record.id, record);
      }
      this.#layers = { stamp, records };
    }
    return this.#layers.records;
  }

  /** All images, as they are now. Takes the lock only while reading. */
  async images(wait: LockWait = {}): Promise<readonly (ImageRecord | OddRecord)[]> {
    using lock = await lockShared(this.#imagesDir, 'images.lock', wait);
    const stamp = stampOf(lock, this.#imagesDir, ['images.json']);
    if (this.#images?.stamp !== stamp) {
      this.#images = { stamp, records: readIndex(this.#below(this.#imagesDir), 'images.json', imageRecordSchema) };
    }
    return this.#images.records;
  }

  /** Big data of an image (manifests, config), undefined when there is none of that key. */
  imageData(image: string, key: string, limit: number): Buffer | undefined {
    return readStoreFile(this.#below(this.#imagesDir), `${image}/${bigDataFile(key)}`, limit);
  }

  /** Big data of a layer, undefined when there is none of that key. */
  layerData(layer: string, key: string, limit: number): Buffer | undefined {
    return readStoreFile(this.#below(this.#layersDir), `${layer}/${bigDataFile(key)}`, limit);
  }

  /** The recipe of a layer's tar, compressed; undefined when there is none. */
  openRecipe(layer: string): Fd | undefined {
    return openFile(this.#below(this.#layersDir), `${layer}.tar-split.gz`);
  }

  /**
   * The directory with the files of a layer, and whose files below it are read only as far as they could.
   * @throws NotFoundError when this root does not have it; BridgeError `FOREIGN_SYMLINK`, `FOREIGN_FILE`
   */
  openTree(layer: string): StoreFolder {
    try {
      using dir = openBeneath(this.#treesDir, layer, DIRECTORY);
      // Where everybody can put a layer beside root's, it is its own folder that says whose it is.
      const owner = this.#owner ?? (isWritableForOthers(this.#treesDir) ? ForeignOwner.of([dir]) : undefined);
      owner?.checkFolder(dir, layer);
      if (this.driver === 'vfs') return { dir: dir.move(), owner };
      using diff = openDiff(dir);
      owner?.checkFolder(diff, `${layer}/diff`);
      return { dir: diff.move(), owner };
    } catch (error) {
      if (!isErrno(error, 'ENOENT', 'ENOTDIR')) throw error;
      throw new NotFoundError('the files of the layer are gone', { cause: error, place: { layer } });
    }
  }

  /** Whether the layer's files are stored flat, named by content, as the driver does with `use_composefs`. */
  isFlat(layer: string): boolean {
    if (this.driver !== 'overlay') return false;
    using blob = openFile({ dir: this.#treesDir, owner: undefined }, `${layer}/composefs-data/composefs.blob`);
    return blob !== undefined;
  }

  #below(dir: Fd): StoreFolder {
    return { dir, owner: this.#owner };
  }

  [Symbol.dispose](): void {
    for (const fd of [this.#layersDir, this.#imagesDir, this.#treesDir]) fd.close();
  }
}

/** A layer of an additional layer store has a symlink to wherever that store is mounted. */
function openDiff(dir: Fd): Fd {
  try {
    return openBeneath(dir, 'diff', DIRECTORY);
  } catch (error) {
    if (!isErrno(error, 'ELOOP')) throw error;
    using marker = openFile({ dir, owner: undefined }, 'additionallayer');
    if (!marker) throw error;
    return openFolderByOwnLinks('diff', dir);
  }
}

function isWritableForOthers(folder: Fd): boolean {
  const { uid, mode } = folder.stat();
  return !isRootOrSelf(uid) || (mode & OTHERS_WRITE) !== 0;
}

function isSameFolder(a: Fd, b: Fd): boolean {
  const [x, y] = [a.stat(), b.stat()];
  return x.dev === y.dev && x.ino === y.ino;
}

/** A folder of the store; undefined when it does not exist. */
function openFolder(root: Fd, name: ByteString): Fd | undefined {
  try {
    return openFolderByOwnLinks(name, root);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw isErrno(error, 'EACCES') ? noPermission(name, error) : error;
  }
}

function openRoot(path: ByteString): Fd {
  try {
    return openFolderByOwnLinks(path);
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR'))
      throw new NotFoundError(`no containers-storage at ${showBytes(path)}`, { cause: error });
    throw isErrno(error, 'EACCES') ? noPermission(path, error) : error;
  }
}

/**
 * Several drivers may have left directories behind; then only the configuration can tell which one is meant.
 * @param path for messages
 * @throws NotFoundError when there are none; BridgeError `UNKNOWN_DRIVER`
 */
export function detectDriver(root: Fd, path: ByteString): Driver {
  const found = files
    .readdir(root.number)
    .filter((name) => name.endsWith('-layers'))
    .map((name) => name.slice(0, -'-layers'.length));
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

/** A file that is empty or null is as good as none, as for podman. */
function readIndex<T extends z.ZodType>(folder: StoreFolder, name: string, schema: T): (z.output<T> | OddRecord)[] {
  const bytes = readStoreFile(folder, name, STORE_INDEX_LIMIT);
  if (bytes === undefined || bytes.length === 0) return [];
  return parseRecords(parseJson(bytes, z.array(z.unknown()).nullable(), name) ?? [], schema, name);
}

/** Changes whenever the index does: the writers' token and, for stores nobody locks, the files' identity. */
function stampOf(lock: StoreLock, dir: Fd, names: string[]): string {
  const identities = names.map((name) => {
    using file = openFile({ dir, owner: undefined }, name);
    if (!file) return '';
    const { ino, size, ctimeSec, ctimeNsec } = file.stat();
    return `${ino}:${size}:${ctimeSec}.${ctimeNsec}`;
  });
  return [lock.lastWrite(), ...identities].join(' ');
}
