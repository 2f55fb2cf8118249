import type { Abortable } from '../../abortable.js';
import { debug } from '../../debug.js';
import { BridgeError } from '../../errors.js';
import { RemoteRepository } from '../remote/remote-repository.js';
import { LayerServer } from '../remote/layer-server.js';
import type { Platform } from '../../spec/platform.js';
import { Store } from '../../storage/store.js';
import { openSource, splitReference, transportList } from './open.js';
import { forEachLayer, imageSource } from './image-source.js';
import { PARALLEL_LAYERS } from './parallel-layers.js';
import { SILENCE_LIMIT } from './silence.js';
import type { ImageSource, SourceTraits } from './source.js';
import { openSplitfdstreamImage } from './splitfdstream.js';
import { placeOf } from './storage.js';

export interface SocketSourceOptions extends Abortable {
  /** milliseconds; default SILENCE_LIMIT */
  silenceLimit?: number | undefined;
  /** of servers that have repositories: path of the one to read from, as the server sees it */
  repository?: string | undefined;
  /**
   * which image of a manifest list to take, where there are any; default: the one this program, or else the server,
   * runs on
   */
  platform?: Platform | undefined;
}

const STORAGE = 'containers-storage:';

/**
 * An image behind a socket, whatever protocol the server turns out to speak: varlink, for a repository (cfsctl) or for
 * the layers of one image (containers-storage 1.65), or splitfdstream over JSON-RPC.
 * @param path of the socket
 * @param reference what the server knows the image by. A server that has only layers knows none: then it is a reference
 *   as `openSource` takes it, to where manifest and config are; for one that has the layers of a store, to the image in
 *   that store
 * @throws SocketError, VarlinkRemoteError, RemoteError, RpcProtocolError; NotFoundError; BridgeError `RPC_TIMEOUT`,
 *   `NO_LAYERS`, `NO_DOCUMENTS`, `WHICH_REPOSITORY`
 * @example
 * ```ts
 * import { openSocketImage, pullImage, Repository } from 'composefs-bridge';
 *
 * await using source = await openSocketImage('/run/store.sock', 'docker.io/library/debian:12');
 * using repository = await Repository.open('/var/lib/images', { write: true });
 * console.log((await pullImage(repository, source, { name: 'debian' })).tag); // debian
 * ```
 */
export async function openSocketImage(
  path: string,
  reference: string,
  options: SocketSourceOptions = {},
): Promise<ImageSource> {
  const { signal, silenceLimit = SILENCE_LIMIT, repository } = options;
  const server = await LayerServer.connect(path, { signal, silenceLimit });
  if (server === undefined || server.knowsImagesInJsonRpc) {
    server?.close();
    debug(
      () =>
        `socket ${path}: the server speaks ` +
        `${server === undefined ? 'no varlink' : 'varlink, and knows images in JSON-RPC'}: splitfdstream ` +
        'over JSON-RPC',
    );
    if (repository !== undefined) throw noRepositories(path);
    return await openSplitfdstreamImage(
      path,
      reference.startsWith(STORAGE) ? reference.slice(STORAGE.length) : reference,
      options,
    );
  }
  try {
    debug(
      () =>
        `socket ${path}: varlink, ${server.interfaces.join(', ')}: ` +
        (RemoteRepository.isServedBy(server)
          ? 'repositories'
          : `layers of ${server.isContainersStorage ? 'a containers-storage' : 'one image'}`) +
        (server.trusted
          ? '; the server is root or this user'
          : '; the server is of another user, its files wait until a layer is verified'),
    );
    if (RemoteRepository.isServedBy(server))
      return await openRemoteImage(server, repository ?? missingRepository(path), reference);
    if (repository !== undefined) throw noRepositories(path);
    return await (server.isContainersStorage
      ? openLayersOfStore(server, path, reference, options)
      : openLayersOfImage(server, path, reference, options));
  } catch (error) {
    server.close();
    throw error;
  }
}

async function openRemoteImage(server: LayerServer, path: string, reference: string): Promise<ImageSource> {
  const repository = await RemoteRepository.open(server, path);
  return imageSource({
    ...(await repository.documents(reference)),
    ...traitsOf(server),
    layers: (diffIds) =>
      diffIds.map((diffId) => ({ diffId, size: undefined, open: (signal) => repository.layer(diffId, { signal }) })),
    close: () => repository[Symbol.asyncDispose](),
  });
}

async function openLayersOfImage(
  server: LayerServer,
  path: string,
  reference: string,
  options: SocketSourceOptions,
): Promise<ImageSource> {
  return imageSource({
    ...(await readDocuments(path, reference, options)),
    ...traitsOf(server),
    layers: (diffIds) =>
      diffIds.map((diffId, index) => ({
        diffId,
        size: undefined,
        open: (signal) => server.layer(NO_HANDLE, { layer_index: index }, signal),
      })),
    close: () => server.close(),
  });
}

/** The server opens the layers of a store for us, in a user namespace say; which ones there are is read here. */
async function openLayersOfStore(
  remote: LayerServer,
  path: string,
  reference: string,
  { platform, signal }: SocketSourceOptions,
): Promise<ImageSource> {
  if (!reference.startsWith(STORAGE))
    throw new BridgeError(
      'NO_DOCUMENTS',
      `the server behind ${path} has only the layers of a containers-storage; name the image with ${STORAGE} so ` +
        'that its manifest and config are found there',
    );
  const place = placeOf(reference);
  using store = Store.open(place);
  const image = await store.image(reference, { platform, signal });
  const layers = await store.layers(image, { signal });
  return imageSource({
    manifest: image.manifest(),
    config: image.config(),
    ...traitsOf(remote),
    layers: (diffIds) =>
      forEachLayer(diffIds, layers, 'the store has', (diffId, { id, size }) => ({
        diffId,
        size,
        open: (stop) => remote.layer(NO_HANDLE, { storage: { storage_path: place.graphroot, layer_id: id } }, stop),
      })),
    close: () => remote.close(),
  });
}

/** Servers without repositories do not look at it. */
const NO_HANDLE = 0;

async function readDocuments(
  path: string,
  reference: string,
  { platform, signal }: SocketSourceOptions,
): Promise<{ manifest: Buffer; config: Buffer }> {
  if (splitReference(reference).transport === undefined)
    throw new BridgeError(
      'NO_DOCUMENTS',
      `the server behind ${path} has only the layers of an image; name the image with ` +
        `${transportList().join(', ')} so that its manifest and config are found there`,
    );
  await using source = await openSource(reference, { platform, signal });
  return { manifest: source.manifest, config: source.config };
}

function traitsOf({ trusted, silenceLimit }: LayerServer): SourceTraits {
  return { trusted, canShare: true, parallelLayers: PARALLEL_LAYERS.server, silenceLimit };
}

function noRepositories(path: string): BridgeError {
  return new BridgeError('WHICH_REPOSITORY', `the server behind ${path} has no repositories to choose from`);
}

function missingRepository(path: string): never {
  throw new BridgeError('WHICH_REPOSITORY', `the server behind ${path} opens repositories; say which one`);
}
