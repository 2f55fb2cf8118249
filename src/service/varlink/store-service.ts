import { realpathSync } from 'node:fs';
import { NotFoundError } from '../../errors.js';
import type { Connection } from '../../fd/fd-passing.js';
import { VarlinkInterface } from '../../rpc/varlink/interface.js';
import { handle, serveVarlink } from '../../rpc/varlink/server.js';
import { serviceHandlers } from '../../rpc/varlink/service.js';
import { VarlinkMethodError } from '../../rpc/varlink/varlink-error.js';
import type { StoredImage } from '../../storage/image.js';
import type { Store, StoredLayer } from '../../storage/store.js';
import { layerFds } from '../layer-fds.js';
import { Leases } from '../leases.js';
import { readableForAll } from '../readable-for.js';
import { messageOf } from './internal-error.js';
import { FEATURE_SPLITDIRFDSTREAM } from './oci-interface.js';
import { ABOUT, LEASE_GRACE } from './repository-service.js';

const storeInterface = VarlinkInterface.fromProto('containers-storage/org.composefs.Oci.varlink');

interface GetLayerParams {
  handle: number;
  params: {
    layer_index?: number | null;
    diff_id?: string | null;
    storage?: { storage_path: string; layer_id: string } | null;
    consumer_has_cap_dac_override?: boolean | null;
  };
}

const methods = {
  GetInfo: storeInterface.method<object, { features: string[] }>('GetInfo'),
  GetLayer: storeInterface.method<GetLayerParams, { dir_count: number }>('GetLayer'),
};

/** What is served: a store, and the image in it that `layer_index` counts the layers of, if there is one. */
export interface ServedStore {
  store: Store;
  image?: StoredImage | undefined;
}

/**
 * Serves the layers of a store to one connection, as storage 1.65 serves those of an image. A layer stays locked until the
 * client closes the last descriptor. Takes ownership of `connection`.
 * @param leaseGrace milliseconds, see LEASE_GRACE
 * @throws RpcProtocolError or SocketError when it breaks; the signal's reason
 */
export async function serveStoreLayers(connection: Connection, served: ServedStore, signal: AbortSignal, leaseGrace = LEASE_GRACE): Promise<void> {
  await using leases = new Leases();
  const handlers = new Map([
    ...serviceHandlers(ABOUT, [storeInterface]),
    handle(methods.GetInfo, async () => ({ parameters: { features: [FEATURE_SPLITDIRFDSTREAM, 'source-containers-storage', 'read-only'] } })),
    handle(methods.GetLayer, async ({ params }, call) => {
      const wanted = await findLayer(served, params, call.signal);
      const layer = await served.store.layerStream(wanted, { lease: 'lock', signal });
      const readable = params.consumer_has_cap_dac_override === true ? () => true : readableForAll();
      return { parameters: { dir_count: 1 }, fds: await layerFds({ layer, directory: layer.directory }, readable, leases, signal) };
    }),
  ]);
  const internalError = (error: unknown): VarlinkMethodError => storeInterface.error('InternalError', { message: messageOf(error) });
  try {
    await serveVarlink(connection, { handlers, interfaces: [storeInterface.name, 'org.varlink.service'], internalError }, { signal });
  } finally {
    connection.close();
    await leases.settle(leaseGrace, signal);
  }
}

async function findLayer({ store, image }: ServedStore, { storage, diff_id: diffId, layer_index: index }: GetLayerParams['params'], signal: AbortSignal): Promise<Pick<StoredLayer, 'id'>> {
  if (storage != null) {
    if (!isSameFolder(storage.storage_path, store.graphroot)) throw storeInterface.error('InvalidRequest', { message: `${storage.storage_path} is not the store that is served` });
    return await store.layer(storage.layer_id, { signal }).catch((error: unknown) => {
      throw error instanceof NotFoundError ? storeInterface.error('NoSuchLayer', { diff_id: storage.layer_id }) : error;
    });
  }
  if (index == null && diffId == null) throw storeInterface.error('InvalidRequest', { message: 'which layer? layer_index, diff_id or storage says it' });
  if (image === undefined) throw storeInterface.error('InvalidRequest', { message: 'this socket is not for one image; name the layer by storage, with storage_path and layer_id' });
  const layers = await store.layers(image, { signal });
  const layer = index != null ? layers[index] : layers.find((candidate) => candidate.diffId === diffId);
  if (layer !== undefined) return layer;
  throw index != null ? storeInterface.error('NoSuchLayerIndex', { layer_index: index }) : storeInterface.error('NoSuchLayer', { diff_id: diffId });
}

function isSameFolder(path: string, graphroot: string): boolean {
  try {
    return realpathSync(path) === realpathSync(graphroot);
  } catch {
    return false;
  }
}
