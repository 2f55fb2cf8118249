import type { Abortable } from '../../abortable.js';
import { resolve } from 'node:path';
import type { OpenDir } from '../../fd/fd.js';
import { discoverStore } from '../../storage/discover.js';
import { MountClone } from '../../storage/mount-clone.js';
import { parseImageReference, type ImageReference } from '../../storage/reference.js';
import { Store, type StoreOptions } from '../../storage/store.js';
import type { Admit, PolicySubject } from '../../registry/policy/image-to-check.js';
import { showName, type ImageName } from '../../registry/policy/signed-identity.js';
import { parseSignature } from '../../registry/signatures/signature.js';
import type { StoredImage } from '../../storage/image.js';
import type { Platform } from '../../spec/platform.js';
import { digestLike } from '../../spec/manifest.js';
import { bytesSource } from '../../fd/byte-source.js';
import { forEachLayer, imageSource } from './image-source.js';
import { PARALLEL_LAYERS } from './parallel-layers.js';
import { StoreLayerReader } from './store-layer-reader.js';
import type { ImageSource, StoreExtras } from './source.js';

export interface StorageSourceOptions extends Abortable {
  /** absolute path of the store; found as podman finds it when left out, unless the reference names one */
  graphroot?: string | undefined;
  /** which image of a manifest list to take; default: the one this program runs on */
  platform?: Platform | undefined;
  /** opens the directories with the layers' files; see `linkingMount` */
  openDir?: OpenDir | undefined;
  /** decides whether the image may come in; default: it may */
  admit?: Admit | undefined;
}

/**
 * An image of a containers-storage on this machine, read directly. The store's layer lock is held while a layer is
 * read.
 * @param reference name, id, beginning of an id, digest, with or without `containers-storage:` and a store in brackets
 * @throws NotFoundError, FormatError, BridgeError as `Store` does
 * @example
 * ```ts
 * import { openStorageImage } from 'composefs-bridge';
 *
 * await using image = await openStorageImage('docker.io/library/debian:12');
 * for (const { diffId, size } of image.layers) console.log(diffId, size); // sha256:… …
 * ```
 */
export async function openStorageImage(reference: string, options: StorageSourceOptions = {}): Promise<ImageSource> {
  const where = placeOf(reference, options.graphroot);
  const store = Store.open({ ...where, openDir: options.openDir });
  try {
    const image = await store.image(reference, { signal: options.signal, platform: options.platform });
    await admitted(options, store, image, parseImageReference(reference));
    const layers = await store.layers(image, { signal: options.signal });
    const reader = new StoreLayerReader(store, where);
    return imageSource({
      manifest: image.manifest(),
      config: image.config(),
      layers: (diffIds) =>
        forEachLayer(diffIds, layers, 'the store has', (diffId, layer) => ({
          diffId,
          size: layer.size,
          open: (signal) => reader.open(layer, signal),
        })),
      findBlob: async (digest) => {
        const bytes = image.data(digest);
        return { size: bytes.length, bytes: bytesSource(bytes) };
      },
      extras: () => extrasOf(image),
      trusted: store.trusted,
      canShare: true,
      parallelLayers: PARALLEL_LAYERS.store,
      close: async () => {
        await reader[Symbol.asyncDispose]();
        store[Symbol.dispose]();
      },
    });
  } catch (error) {
    store[Symbol.dispose]();
    throw error;
  }
}

function extrasOf(image: StoredImage): StoreExtras {
  const own = image.signatures();
  return {
    names: image.names,
    namesHistory: image.namesHistory,
    signatures: own.length > 0 ? own : image.signatures(image.manifestDigest),
    lists: image.lists().map((manifest) => ({
      manifest,
      signatures: image.signatures(digestLike('sha256:', manifest)),
    })),
  };
}

async function admitted(
  { admit, signal }: StorageSourceOptions,
  store: Store,
  image: StoredImage,
  reference: ImageReference,
): Promise<void> {
  if (admit === undefined) return;
  // By the digest of a list, the image is one of several, which have signatures of their own.
  const listed = reference.digest !== undefined && reference.digest !== image.manifestDigest;
  const signatures = async () =>
    image
      .signatures(listed ? image.manifestDigest : undefined)
      .map((bytes, index) => parseSignature(bytes, `signature ${index + 1} of image ${image.id}`));
  await admit({ subject: subjectOf(store, image, reference), manifest: image.manifest(), signatures }, { signal });
}

/** Source: containers/image storage/storage_reference.go. */
function subjectOf({ driver, graphroot }: Store, image: StoredImage, reference: ImageReference): PolicySubject {
  const place = `[${driver}@${graphroot}]`;
  const byId = reference.idPrefix !== undefined && image.id.startsWith(reference.idPrefix);
  const name = nameOf(image, reference, byId);
  const scopes: string[] = [];
  if (name !== undefined) {
    const { repository, tag, digest } = name;
    if (byId) scopes.push(`${place}${showName(name)}@${image.id}`);
    scopes.push(`${place}${showName(name)}`);
    if (tag !== undefined && digest !== undefined) scopes.push(`${place}${repository}:${tag}`);
    for (let at = repository; at !== ''; at = at.slice(0, Math.max(at.lastIndexOf('/'), 0))) scopes.push(place + at);
  } else {
    scopes.push(`${place}@${image.id}`);
  }
  return {
    transport: 'containers-storage',
    scopes: [...scopes, place, `[${graphroot}]`],
    name,
    shown: `containers-storage:${reference.text}`,
  };
}

/** The name that the image was found by: of short ones the one that it has. */
function nameOf(
  { names }: StoredImage,
  { text, repository, tag, digest }: ImageReference,
  byId: boolean,
): ImageName | undefined {
  // What looks like a name was the beginning of an ID.
  if (repository === undefined || (byId && !text.includes('@'))) return undefined;
  if (digest !== undefined || tag === undefined || names.includes(`${repository}:${tag}`))
    return { repository, tag: tag ?? (digest === undefined ? 'latest' : undefined), digest };
  const short = text.endsWith(`:${tag}`) ? text.slice(0, -tag.length - 1) : text;
  const found = names.find((name) => name.endsWith(`/${short}:${tag}`));
  return { repository: found?.slice(0, -tag.length - 1) ?? repository, tag };
}

/**
 * What hard links from a store into a repository need while podman runs, which mounts the store's `overlay` directory
 * on itself: a clone of the mount below. Give its `openDir` to `openStorageImage` and to `Repository.open`, and dispose
 * it after both.
 * @param repository path of an existing repository
 * @returns undefined when links work without (or not at all)
 * @example
 * ```ts
 * import { linkingMount, openStorageImage, pullImage, Repository } from 'composefs-bridge';
 *
 * const name = 'docker.io/library/debian:12';
 * using clone = linkingMount(name, '/var/lib/images');
 * await using source = await openStorageImage(name, { openDir: clone?.openDir });
 * using repository = await Repository.open('/var/lib/images', { write: true, openDir: clone?.openDir });
 * console.log((await pullImage(repository, source, { name: 'debian' })).tag); // debian
 * ```
 */
export function linkingMount(reference: string, repository: string, graphroot?: string): MountClone | undefined {
  return MountClone.forStore(placeOf(reference, graphroot), resolve(repository));
}

/**
 * Where the store of a reference is.
 * @param graphroot goes before what the reference says, and before podman's own store
 */
export function placeOf(reference: string, graphroot?: string): StoreOptions {
  return graphroot === undefined ? discoverStore(parseImageReference(reference).store) : { graphroot };
}
