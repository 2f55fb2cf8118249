import { resolve } from 'node:path';
import { bytesOf } from '../../bytes.js';
import { openDirectoryPath, type OpenDir } from '../../fd/fd.js';
import { discoverStore } from '../../storage/discover.js';
import { MountClone } from '../../storage/mount-clone.js';
import { parseImageReference } from '../../storage/reference.js';
import { Store, type StoreOptions } from '../../storage/store.js';
import type { ImageSource } from './source.js';

/** Parsing a layer's recipe is one thread's work, the pool's threads do the rest; more layers at once gain nothing. */
const PARALLEL_LAYERS = 2;

export interface StorageSourceOptions {
  /** absolute path of the store; found as podman finds it when left out, unless the reference names one */
  graphroot?: string | undefined;
  /** opens the directories with the layers' files; see `linkingMount` */
  openDir?: OpenDir | undefined;
  signal?: AbortSignal | undefined;
}

/**
 * An image of a containers-storage on this machine, read directly. The store's layer lock is held while a layer is read.
 * @param reference name, id, beginning of an id, digest, with or without `containers-storage:` and a store in brackets
 * @throws NotFoundError, FormatError, BridgeError as `Store` does
 */
export async function openStorageImage(reference: string, options: StorageSourceOptions = {}): Promise<ImageSource> {
  const where = placeOf(reference, options.graphroot);
  const store = Store.open({ ...where, openDir: options.openDir });
  try {
    const image = await store.image(reference, { signal: options.signal });
    const layers = await store.layers(image, { signal: options.signal });
    return {
      manifest: image.manifest(),
      config: image.config(),
      layers: layers.map((layer) => ({
        diffId: layer.diffId as string,
        size: layer.size,
        open: (signal) => store.layerStream(layer, { lease: 'lock', signal }),
      })),
      trusted: isOurs(where.graphroot),
      parallelLayers: PARALLEL_LAYERS,
      [Symbol.asyncDispose]: async () => store[Symbol.dispose](),
    };
  } catch (error) {
    store[Symbol.dispose]();
    throw error;
  }
}

/**
 * What hard links from a store into a repository need while podman runs, which mounts the store's `overlay` directory on itself: a
 * clone of the mount below. Give its `openDir` to `openStorageImage` and to `Repository.open`, and dispose it after both.
 * @param repository path of an existing repository
 * @returns undefined when links work without (or not at all)
 */
export function linkingMount(reference: string, repository: string, graphroot?: string): MountClone | undefined {
  return MountClone.forStore(placeOf(reference, graphroot), resolve(repository));
}

/** Where the store of a reference is. @param graphroot goes before what the reference says, and before podman's own store */
export function placeOf(reference: string, graphroot?: string | undefined): StoreOptions {
  return graphroot === undefined ? discoverStore(parseImageReference(reference).store) : { graphroot };
}

function isOurs(graphroot: string): boolean {
  using dir = openDirectoryPath(bytesOf(graphroot));
  const { uid } = dir.stat();
  return uid === 0 || uid === process.geteuid?.();
}
