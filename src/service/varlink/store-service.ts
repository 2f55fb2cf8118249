import { realpathSync } from 'node:fs';
import { NotFoundError } from '../../errors.js';
import type { Connection } from '../../fd/fd-passing.js';
import {
  FEATURE_CONTAINERS_STORAGE,
  FEATURE_READ_ONLY,
  FEATURE_SPLITDIRFDSTREAM,
} from '../../rpc/contracts/features.js';
import { storeInterface, storeMethods, type GetStoreLayerParams } from '../../rpc/contracts/containers-storage.js';
import { implement, serveVarlink } from '../../rpc/varlink/server.js';
import { serviceHandlers } from '../../rpc/varlink/service.js';
import { VarlinkMethodError } from '../../rpc/varlink/varlink-error.js';
import type { StoredImage } from '../../storage/image.js';
import type { Store, StoredLayer } from '../../storage/store.js';
import { layerFds } from '../layer-fds.js';
import { Leases } from '../leases.js';
import { lendOpen } from '../lend.js';
import { readableForAll } from '../../layer/readable-for.js';
import { servingLimits, Shares } from '../shares.js';
import { messageOf } from './internal-error.js';
import { ABOUT } from './repository-service.js';

/** What is served: a store, and the image in it that `layer_index` counts the layers of, if there is one. */
export interface ServedStore {
  store: Store;
  image?: StoredImage | undefined;
  /** nothing but the layers of these; default: all of the store */
  only?: (() => Promise<readonly StoredImage[]>) | undefined;
}

/**
 * Serves the layers of a store to one connection, as storage 1.65 serves those of an image. A layer stays locked until
 * the client closes the last descriptor. Takes ownership of `connection`.
 * @param share what the client may take, which this disposes
 * @throws RpcProtocolError or SocketError when it breaks; the signal's reason
 */
export async function serveStoreLayers(
  connection: Connection,
  served: ServedStore,
  signal: AbortSignal,
  share = new Shares().connection(connection.peer.uid),
): Promise<void> {
  using _ = share;
  await using leases = new Leases(share);
  const handlers = new Map([
    ...serviceHandlers(ABOUT, [storeInterface]),
    implement(storeMethods.GetInfo, async () => ({
      parameters: { features: [FEATURE_SPLITDIRFDSTREAM, FEATURE_CONTAINERS_STORAGE, FEATURE_READ_ONLY] },
    })),
    implement(storeMethods.GetLayer, async ({ params }, call) => {
      const wanted = await findLayer(served, params, call.signal);
      const layer = await lendOpen(await served.store.layerStream(wanted, { lease: 'lock', signal }), call.peer);
      const readable = params.consumer_has_cap_dac_override === true ? () => true : readableForAll();
      return { parameters: { dir_count: 1 }, fds: await layerFds(layer, readable, leases, signal) };
    }),
  ]);
  const internalError = (error: unknown): VarlinkMethodError =>
    storeInterface.error('InternalError', { message: messageOf(error) });
  try {
    await serveVarlink(
      connection,
      { handlers, interfaces: [storeInterface.name, 'org.varlink.service'], internalError },
      { signal, ...servingLimits(share) },
    );
  } finally {
    connection.close();
    await leases.settle(signal);
  }
}

async function findLayer(
  { store, image, only }: ServedStore,
  { storage, diff_id: diffId, layer_index: index }: GetStoreLayerParams['params'],
  signal: AbortSignal,
): Promise<Pick<StoredLayer, 'id'>> {
  if (storage != null) {
    if (!isSameFolder(storage.storage_path, store.graphroot))
      throw storeInterface.error('InvalidRequest', {
        message: `${storage.storage_path} is not the store that is served`,
      });
    if (only !== undefined && !(await layersOf(store, await only(), signal)).some(({ id }) => id === storage.layer_id))
      throw storeInterface.error('NoSuchLayer', { diff_id: storage.layer_id });
    return await store.layer(storage.layer_id, { signal }).catch((error: unknown) => {
      throw error instanceof NotFoundError ? storeInterface.error('NoSuchLayer', { diff_id: storage.layer_id }) : error;
    });
  }
  if (index == null && diffId == null)
    throw storeInterface.error('InvalidRequest', { message: 'which layer? layer_index, diff_id or storage says it' });
  if (image === undefined && diffId != null && only !== undefined) {
    const layer = (await layersOf(store, await only(), signal)).find((candidate) => candidate.diffId === diffId);
    if (layer === undefined) throw storeInterface.error('NoSuchLayer', { diff_id: diffId });
    return layer;
  }
  if (image === undefined)
    throw storeInterface.error('InvalidRequest', {
      message: 'this socket is not for one image; name the layer by storage, with storage_path and layer_id',
    });
  const layers = await store.layers(image, { signal });
  const layer = index != null ? layers[index] : layers.find((candidate) => candidate.diffId === diffId);
  if (layer !== undefined) return layer;
  throw index != null
    ? storeInterface.error('NoSuchLayerIndex', { layer_index: index })
    : storeInterface.error('NoSuchLayer', { diff_id: diffId });
}

async function layersOf(store: Store, images: readonly StoredImage[], signal: AbortSignal): Promise<StoredLayer[]> {
  const layers: StoredLayer[] = [];
  for (const image of images) layers.push(...(await store.layers(image, { signal })));
  return layers;
}

function isSameFolder(path: string, graphroot: string): boolean {
  try {
    return realpathSync(path) === realpathSync(graphroot);
  } catch {
    return false;
  }
}
