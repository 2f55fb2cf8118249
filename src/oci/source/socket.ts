import { BridgeError } from '../../errors.js';
import { RemoteRepository } from '../remote/remote-repository.js';
import { RemoteStore } from '../remote/remote-store.js';
import { isContainerImage, parseConfig, parseManifest } from '../manifest.js';
import { Store } from '../../storage/store.js';
import { isStorageReference, openSource, transportOf, TRANSPORT_NAMES } from './open.js';
import { SILENCE_LIMIT } from './silence.js';
import type { ImageSource } from './source.js';
import { openSplitfdstreamImage } from './splitfdstream.js';
import { placeOf } from './storage.js';

export interface SocketSourceOptions {
  signal?: AbortSignal | undefined;
  /** milliseconds; default SILENCE_LIMIT */
  silenceLimit?: number | undefined;
  /** of servers that have repositories: path of the one to read from, as the server sees it */
  repository?: string | undefined;
}

/** Layers are asked for one after the other: a server may hold a lock for each until it is done with. */
const PARALLEL_LAYERS = 1;

const STORAGE = 'containers-storage:';

/**
 * An image behind a socket, whatever protocol the server turns out to speak: varlink, for a repository (cfsctl) or for the layers of
 * one image (containers-storage 1.65), or splitfdstream over JSON-RPC.
 * @param path of the socket
 * @param reference what the server knows the image by. A server that has only layers knows none: then it is a reference as `openSource`
 *   takes it, to where manifest and config are; for one that has the layers of a store, to the image in that store
 * @throws SocketError, VarlinkRemoteError, RemoteError, RpcProtocolError; NotFoundError; BridgeError `RPC_TIMEOUT`, `NO_LAYERS`,
 *   `NO_DOCUMENTS`, `WHICH_REPOSITORY`
 */
export async function openSocketImage(path: string, reference: string, options: SocketSourceOptions = {}): Promise<ImageSource> {
  const { signal, silenceLimit = SILENCE_LIMIT, repository } = options;
  const store = await RemoteStore.connect(path, { signal, silenceLimit });
  if (store === undefined || store.knowsImagesInJsonRpc) {
    store?.close();
    if (repository !== undefined) throw noRepositories(path);
    return await openSplitfdstreamImage(path, reference.startsWith(STORAGE) ? reference.slice(STORAGE.length) : reference, options);
  }
  try {
    if (RemoteRepository.isServedBy(store)) return await openRemoteImage(store, repository ?? missingRepository(path), reference);
    if (repository !== undefined) throw noRepositories(path);
    return await (store.isContainersStorage ? openLayersOfStore(store, path, reference, signal) : openLayersOfImage(store, path, reference, signal));
  } catch (error) {
    store.close();
    throw error;
  }
}

async function openRemoteImage(store: RemoteStore, path: string, reference: string): Promise<ImageSource> {
  const repository = await RemoteRepository.open(store, path);
  const { manifest, config } = await repository.documents(reference);
  return {
    manifest,
    config,
    layers: diffIdsOf(manifest, config).map((diffId) => ({ diffId, size: undefined, open: (signal) => repository.layer(diffId, signal) })),
    trusted: store.trusted,
    parallelLayers: PARALLEL_LAYERS,
    [Symbol.asyncDispose]: () => repository[Symbol.asyncDispose](),
  };
}

async function openLayersOfImage(store: RemoteStore, path: string, reference: string, signal: AbortSignal | undefined): Promise<ImageSource> {
  const { manifest, config } = await readDocuments(path, reference, signal);
  return {
    manifest,
    config,
    layers: diffIdsOf(manifest, config).map((diffId, index) => ({ diffId, size: undefined, open: (stop) => store.layer(NO_HANDLE, { layer_index: index }, stop) })),
    trusted: store.trusted,
    parallelLayers: PARALLEL_LAYERS,
    [Symbol.asyncDispose]: async () => store.close(),
  };
}

/** The server opens the layers of a store for us, in a user namespace say; which ones there are is read here. */
async function openLayersOfStore(remote: RemoteStore, path: string, reference: string, signal: AbortSignal | undefined): Promise<ImageSource> {
  if (!isStorageReference(reference)) throw new BridgeError('NO_DOCUMENTS', `the server behind ${path} has only the layers of a containers-storage; name the image with ${STORAGE} so that its manifest and config are found there`);
  const place = placeOf(reference);
  using store = Store.open(place);
  const image = await store.image(reference, { signal });
  const layers = await store.layers(image, { signal });
  return {
    manifest: image.manifest(),
    config: image.config(),
    layers: layers.map(({ id, diffId, size }) => ({
      diffId: diffId as string,
      size,
      open: (stop) => remote.layer(NO_HANDLE, { storage: { storage_path: place.graphroot, layer_id: id } }, stop),
    })),
    trusted: remote.trusted,
    parallelLayers: PARALLEL_LAYERS,
    [Symbol.asyncDispose]: async () => remote.close(),
  };
}

/** Servers without repositories do not look at it. */
const NO_HANDLE = 0;

async function readDocuments(path: string, reference: string, signal: AbortSignal | undefined): Promise<{ manifest: Buffer; config: Buffer }> {
  if (!TRANSPORT_NAMES.includes(transportOf(reference).name)) {
    const transports = TRANSPORT_NAMES.map((name) => `${name}:`).join(', ');
    throw new BridgeError('NO_DOCUMENTS', `the server behind ${path} has only the layers of an image; name the image with ${transports} so that its manifest and config are found there`);
  }
  await using source = await openSource(reference, { signal });
  return { manifest: source.manifest, config: source.config };
}

/** None for an artifact. */
function diffIdsOf(manifest: Buffer, config: Buffer): readonly string[] {
  return isContainerImage(parseManifest(manifest)) ? parseConfig(config).rootfs.diff_ids : [];
}

function noRepositories(path: string): BridgeError {
  return new BridgeError('WHICH_REPOSITORY', `the server behind ${path} has no repositories to choose from`);
}

function missingRepository(path: string): never {
  throw new BridgeError('WHICH_REPOSITORY', `the server behind ${path} opens repositories; say which one (--from)`);
}
