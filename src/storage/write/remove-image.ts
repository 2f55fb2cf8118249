import { constants } from 'node:fs';
import * as z from 'zod';
import { bytesOf } from '../../bytes.js';
import { BridgeError } from '../../errors.js';
import { isErrno, openBeneath, RESOLVE_NO_XDEV } from '../../fd/fd.js';
import { openFolderByOwnLinks } from '../../fd/own-links.js';
import { removeTree } from '../../fd/remove-tree.js';
import { STORE_INDEX_LIMIT } from '../../limits.js';
import { lockShared, type LockWait } from '../lock.js';
import { parseJson, readStoreFile } from '../read-file.js';
import { isHexId } from '../records.js';
import type { StoreFolders } from './folders.js';
import { takeNames } from './image-record.js';
import { IndexFile, readRecords } from './index-file.js';
import { LockedLayers } from './locked-layers.js';
import type { RawRecord } from './raw-record.js';
import { WriteLock } from './write-lock.js';

/**
 * Takes names from the images that have them; the images stay.
 * @param names as the store has them: `docker.io/library/debian:12`
 * @returns ids of the images that had one
 * @throws BridgeError `STORE_BUSY`; FormatError `BAD_JSON`; an error with `code` of the system
 */
export async function removeNames(
  folders: StoreFolders,
  names: ReadonlySet<string>,
  wait: LockWait,
): Promise<string[]> {
  using lock = await WriteLock.take(folders.images, 'images.lock', wait);
  const index = IndexFile.read(folders.images, 'images.json', lock);
  const changed = index.records.filter((record) => takeNames(record, names));
  if (changed.length > 0) await index.save();
  return changed.map((record) => String(record.get('id')));
}

/**
 * Removes an image, and those of its layers that no other image, no other layer and no container needs.
 * @param runroot where it is written down which layers are mounted
 * @param id 64 hexadecimal digits
 * @returns ids of the removed layers; undefined when there was no such image
 * @throws BridgeError `IMAGE_IN_USE` when a container uses it or it is mounted, `STORE_BUSY`; FormatError `BAD_JSON`;
 *   an error with `code` of the system
 */
export async function removeImage(
  folders: StoreFolders,
  runroot: string | undefined,
  id: string,
  wait: LockWait,
): Promise<string[] | undefined> {
  await using layers = await LockedLayers.take(folders, wait);
  using lock = await WriteLock.take(folders.images, 'images.lock', wait);
  using _ = await lockShared(folders.containers, 'containers.lock', wait);
  const index = IndexFile.read(folders.images, 'images.json', lock);
  const record = index.find(id);
  if (record === undefined || !isHexId(id)) return undefined;
  const containers = ['containers.json', 'volatile-containers.json'].flatMap((name) =>
    readRecords(folders.containers, name),
  );
  const user = containers.find((container) => container.get('image') === id);
  if (user !== undefined) throw inUse(id, `container ${String(user.get('id'))} uses it`, 'remove that first');
  const others = index.records.filter((other) => other !== record);
  const gone = unneeded(record, layers.parents, new Set([...others.flatMap(topLayersOf), ...containers.map(layerOf)]));
  const inRunroot = mountedLayers(runroot);
  const mounted = gone.find((layer) => inRunroot.has(layer) || isMounted(folders, layer));
  if (mounted !== undefined) throw inUse(id, `its layer ${mounted} is mounted`, 'unmount that first');
  index.remove((candidate) => candidate === record);
  await index.save();
  removeTree(folders.images, id);
  await layers.remove(new Set(gone));
  return gone;
}

/** The layers that only this image needs, the topmost first. */
function unneeded(
  image: RawRecord,
  parents: ReadonlyMap<string, string | undefined>,
  needed: ReadonlySet<string>,
): string[] {
  const children = new Map<string, number>();
  for (const parent of parents.values())
    if (parent !== undefined) children.set(parent, (children.get(parent) ?? 0) + 1);
  const gone: string[] = [];
  for (const top of topLayersOf(image).reverse()) {
    for (let id: string | undefined = top; id !== undefined && parents.has(id); ) {
      if (!isHexId(id) || needed.has(id) || (children.get(id) ?? 0) > 0) break;
      gone.push(id);
      const parent: string | undefined = parents.get(id);
      if (parent !== undefined) children.set(parent, (children.get(parent) ?? 0) - 1);
      id = parent;
    }
  }
  return gone;
}

/** The layer of an image, and those that are the same with other ids of users. */
function topLayersOf(image: RawRecord): string[] {
  const mapped = image.get('mapped-layers');
  return [image.get('layer'), ...(Array.isArray(mapped) ? mapped : [])].filter((id) => typeof id === 'string');
}

function layerOf(container: RawRecord): string {
  return String(container.get('layer'));
}

const mountsSchema = z.array(z.object({ id: z.string(), count: z.number() }));

/** The layers that programs say they have mounted. */
function mountedLayers(runroot: string | undefined): ReadonlySet<string> {
  try {
    if (runroot === undefined) return new Set();
    using dir = openFolderByOwnLinks(bytesOf(`${runroot}/overlay-layers`));
    const bytes = readStoreFile({ dir, owner: undefined }, 'mountpoints.json', STORE_INDEX_LIMIT);
    const mounts = bytes === undefined ? [] : parseJson(bytes, mountsSchema, 'mountpoints.json');
    return new Set(mounts.filter(({ count }) => count > 0).map(({ id }) => id));
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return new Set();
    throw error;
  }
}

/** Whether the kernel has it mounted where this process can see it. */
function isMounted({ trees }: StoreFolders, layer: string): boolean {
  try {
    openBeneath(trees, `${layer}/merged`, constants.O_RDONLY | constants.O_DIRECTORY, 0, RESOLVE_NO_XDEV).close();
    return false;
  } catch (error) {
    if (isErrno(error, 'EXDEV')) return true;
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return false;
    throw error;
  }
}

function inUse(id: string, why: string, advice: string): BridgeError {
  return new BridgeError('IMAGE_IN_USE', `image ${id} cannot be removed: ${why}; ${advice}`);
}
