import { MAX_FDS_PER_SEND, type Connection, type Listener } from '../fd/fd-passing.js';
import { JsonRpcConnection } from '../rpc/jsonrpc-fdpass.js';
import type { Repository } from '../repository/repository.js';
import type { StoredImage } from '../storage/image.js';
import type { Store } from '../storage/store.js';
import { firstWords } from './first-words.js';
import { serveListener, type ServeOptions } from './serve-listener.js';
import { RepositoryImages } from './repository-images.js';
import type { ServedImages } from './served-images.js';
import { SplitfdstreamService } from './splitfdstream-service.js';
import { StoreImages } from './store-images.js';
import { serveStoreLayers, type ServedStore } from './varlink/store-service.js';

/**
 * Serves a store to everyone who connects, each connection by itself, until the signal aborts: over JSON-RPC, or over varlink
 * when the client's first words are that. Takes ownership of `listener`.
 * @param options `image`: the one whose layers varlink clients ask for by number
 * @throws what accepting connections throws, except for the signal's reason
 */
export async function serveStore(store: Store, listener: Listener, options: ServeOptions & { image?: StoredImage | undefined }): Promise<void> {
  const served = { store, image: options.image };
  await serveListener(listener, (connection, signal) => serveConnection(served, connection, signal), options);
}

/**
 * Serves one connection until the client closes it. Takes ownership of `connection`.
 * @throws RpcProtocolError or SocketError when it breaks; the signal's reason
 */
export async function serveConnection(served: ServedStore, connection: Connection, signal: AbortSignal): Promise<void> {
  using owned = connection;
  if ((await firstWords(owned, signal)) === 'varlink') await serveStoreLayers(owned, served, signal);
  else await serveJsonRpc(new StoreImages(served.store, signal), owned, signal);
}

/**
 * Serves the images of a repository over JSON-RPC to one connection. Varlink clients are turned away; they are for
 * `serveRepositories`. Takes ownership of `connection`.
 * @param repository open for reading; stays the caller's
 * @throws RpcProtocolError or SocketError when it breaks; the signal's reason
 */
export async function serveRepositoryImages(repository: Repository, connection: Connection, signal: AbortSignal): Promise<void> {
  using owned = connection;
  if ((await firstWords(owned, signal)) === 'jsonrpc') await serveJsonRpc(new RepositoryImages(repository, signal), owned, signal);
}

async function serveJsonRpc(images: ServedImages, connection: Connection, signal: AbortSignal): Promise<void> {
  // No method takes descriptors: those that come are closed, and must not use up the server's.
  using rpc = new JsonRpcConnection(connection, { maxFds: MAX_FDS_PER_SEND });
  // An answer that the client does not read would otherwise keep the service from ending.
  const close = (): void => rpc.close();
  signal.addEventListener('abort', close, { once: true });
  await using service = new SplitfdstreamService(images, signal);
  try {
    await rpc.serve(service.handlers, signal);
  } finally {
    signal.removeEventListener('abort', close);
  }
}
