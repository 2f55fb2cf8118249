import { BridgeError, DigestMismatchError, FormatError } from '../../errors.js';
import { removeTree } from '../../fd/remove-tree.js';
import { checkDigest, parseConfig, parseManifest } from '../../spec/manifest.js';
import { parseRegistryReference, showReference } from '../../spec/reference.js';
import { files } from '../../native.js';
import { lockShared, type LockWait, type StoreLock } from '../lock.js';
import { bigDataFile, isHexId, OddRecord } from '../records.js';
import { removeIfThere, replaceFile } from './atomic-file.js';
import { openOrMakeFolder, type StoreFolders } from './folders.js';
import { imageItems, metadataWith, metadataWithout, type Signatures } from './image-items.js';
import {
  addNames,
  digestOf,
  itemNames,
  listItems,
  newItems,
  readImage,
  setMembers,
  takeNames,
  unlistItems,
  type ImageItem,
} from './image-record.js';
import { readLayers } from './find-layer.js';
import { IndexFile } from './index-file.js';
import { readLayer } from './layer-record.js';
import { goTime, goTimeOf } from './go-time.js';
import { RawRecord } from './raw-record.js';
import { unsupported } from './settings.js';
import { WriteLock } from './write-lock.js';

/** An image whose layers are in the store already. */
export interface ImageToPut extends Signatures {
  /** exact bytes */
  manifest: Buffer;
  /** exact bytes; the id of the image is the hex of their digest */
  config: Buffer;
  /** id of the layer that has all others below it; undefined for an image without layers */
  topLayer?: string | undefined;
  /** exact bytes of the manifest list that the image was found through */
  listManifest?: Buffer | undefined;
  /** `debian:12` is `docker.io/library/debian:12`; other images lose these names */
  names: readonly string[];
  /** names that the image had elsewhere, the latest first */
  namesHistory?: readonly string[] | undefined;
}

/** What became of an image. */
export interface PutImageResult {
  /** 64 hexadecimal digits */
  id: string;
  /** the store has had it, perhaps with other names */
  existed: boolean;
}

/** A file of an image until it has its name. */
const UNFINISHED = '.tmp-item';

/**
 * Puts an image into the store, in one step: with all that belongs to it, under all its names.
 * @throws BridgeError `LAYER_GONE`, `LAYER_MISSING` when its layers are not in the store, `IMAGE_ID_TAKEN`,
 *   `STORE_UNSUPPORTED`, `STORE_BUSY`; DigestMismatchError; FormatError `BAD_REFERENCE`, `MANIFEST_INVALID`,
 *   `CONFIG_INVALID`, `LAYER_CHAIN`, `BAD_JSON`; an error with `code` of the system
 */
export async function putImage(folders: StoreFolders, image: ImageToPut, wait: LockWait): Promise<PutImageResult> {
  // The layers have to last, with their names, before there is an image of them.
  await files.syncfs(folders.images.number);
  return await putUnderLocks(folders, image, wait);
}

async function putUnderLocks(folders: StoreFolders, image: ImageToPut, wait: LockWait): Promise<PutImageResult> {
  const { config: descriptor } = parseManifest(image.manifest);
  checkDigest('config of the image', descriptor.digest, image.config);
  const config = parseConfig(image.config);
  const id = digestOf(image.config).slice('sha256:'.length);
  const names = image.names.map((name) => storedName(name, image));

  using layersLock = await lockShared(folders.layers, 'layers.lock', wait);
  checkLayers(folders, layersLock, image.topLayer, config.rootfs.diff_ids);
  using lock = await WriteLock.take(folders.images, 'images.lock', wait);
  const index = IndexFile.read(folders.images, 'images.json', lock);
  removeForgotten(folders, index);
  const record = index.find(id);
  try {
    if (record === undefined)
      await addImage(folders, index, image, { id, names, created: config.created ?? undefined });
    else await changeImage(folders, index, image, { id, names, record });
  } finally {
    removeIfThere({ dir: folders.images, name: UNFINISHED });
  }
  return { id, existed: record !== undefined };
}

async function addImage(
  folders: StoreFolders,
  index: IndexFile,
  image: ImageToPut,
  { id, names, created }: { id: string; names: readonly string[]; created: string | undefined },
): Promise<void> {
  const items = imageItems(image);
  const record = RawRecord.empty();
  setMembers(record, {
    id,
    digest: digestOf(image.listManifest ?? image.manifest),
    layer: image.topLayer,
    metadata: metadataWith(undefined, image),
    created: goTimeOf(created) ?? goTime(new Date()),
  });
  listItems(record, items);
  try {
    await writeItems(folders, id, items);
    moveNames(index, record, names, image.namesHistory);
    index.append(record);
    await index.save();
  } catch (error) {
    removeTree(folders.images, id);
    throw error;
  }
}

async function changeImage(
  folders: StoreFolders,
  index: IndexFile,
  image: ImageToPut,
  { id, names, record }: { id: string; names: readonly string[]; record: RawRecord },
): Promise<void> {
  const { layer, metadata } = readImage(record);
  if ((layer || undefined) !== image.topLayer)
    throw new BridgeError(
      'IMAGE_ID_TAKEN',
      `image with ID "${id}" already exists, but uses a different top layer; remove it first`,
      image.topLayer === undefined ? {} : { place: { layer: image.topLayer } },
    );
  const [flag] = Object.keys((record.get('flags') as object | undefined) ?? {});
  if (flag !== undefined)
    throw unsupported(
      folders.graphroot,
      `image ${id} has the flag ${JSON.stringify(flag)}, which is not known`,
      'remove it',
    );
  const items = newItems(record, imageItems(image));
  const known = new Set(itemNames(record));
  const changed = new Set(items.map(({ key }) => key).filter((key) => known.has(key)));
  if (changed.size > 0) {
    // A process that dies between two files leaves nothing that the record is wrong about.
    unlistItems(record, changed);
    setMembers(record, { metadata: metadataWithout(metadata ?? undefined) });
    await index.save();
  }
  await writeItems(folders, id, items);
  listItems(record, items);
  setMembers(record, { metadata: metadataWith(metadata ?? undefined, image) });
  moveNames(index, record, names, image.namesHistory);
  await index.save();
}

async function writeItems({ images }: StoreFolders, id: string, items: readonly ImageItem[]): Promise<void> {
  using folder = openOrMakeFolder(images, id, 0o700);
  for (const { key, bytes } of items)
    await replaceFile({ dir: folder, name: bigDataFile(key) }, bytes, { dir: images, name: UNFINISHED });
}

/** No two images have the same name. */
function moveNames(
  index: IndexFile,
  record: RawRecord,
  names: readonly string[],
  history: readonly string[] | undefined,
): void {
  const moved = new Set(names);
  for (const other of index.records) if (other !== record) takeNames(other, moved);
  addNames(record, names, history);
}

/** What processes that died have left of images that nobody knows of. */
function removeForgotten({ images }: StoreFolders, index: IndexFile): void {
  removeIfThere({ dir: images, name: UNFINISHED });
  const known = new Set(index.records.map((record) => record.get('id')));
  for (const name of files.readdir(images.number)) if (isHexId(name) && !known.has(name)) removeTree(images, name);
}

/** The layers of the image are in the store, and they are those of its config. */
function checkLayers(
  folders: StoreFolders,
  lock: StoreLock,
  topLayer: string | undefined,
  diffIds: readonly string[],
): void {
  const records = new Map(readLayers(folders, lock).map((record) => [record.get('id'), record]));
  let id = topLayer;
  for (const [index, diffId] of [...diffIds.entries()].reverse()) {
    const record = id === undefined ? undefined : records.get(id);
    const layer = record && readLayer(record);
    if (layer instanceof OddRecord) throw layer.problem;
    if (layer === undefined)
      throw new BridgeError(
        'LAYER_GONE',
        `layer ${index + 1} of the image is not in the store, or not any more; write the image again`,
        { place: { layer: id ?? diffId } },
      );
    if (layer['diff-digest'] !== diffId)
      throw new DigestMismatchError(`layer ${index + 1} of the image`, diffId, String(layer['diff-digest']), {
        place: { layer: layer.id },
      });
    id = layer.parent || undefined;
  }
  if (id !== undefined)
    throw new FormatError('LAYER_CHAIN', `there are more layers than the ${diffIds.length} of the config`, {
      place: { layer: id },
    });
}

/**
 * A name as the store has it. One with a digest has to be of this image.
 * @throws FormatError `BAD_REFERENCE`; DigestMismatchError
 */
function storedName(name: string, { manifest, listManifest }: ImageToPut): string {
  const reference = parseRegistryReference(name);
  if (reference.digest !== undefined && (listManifest === undefined || reference.digest !== digestOf(listManifest)))
    checkDigest(`manifest of ${name}`, reference.digest, manifest);
  return showReference(reference);
}
