import type { Abortable } from '../abortable.js';
import { MAX_FDS_PER_SEND, type Connection, type Listener } from '../fd/fd-passing.js';
import { JsonRpcConnection } from '../rpc/jsonrpc/connection.js';
import type { Repository } from '../repository/repository.js';
import type { StoredImage } from '../storage/image.js';
import type { Store } from '../storage/store.js';
import { firstWords } from './first-words.js';
import { serveListener, type ServeOptions } from './serve-listener.js';
import { RepositoryImages } from './repository-images.js';
import type { ServedImages } from './served-images.js';
import { servingLimits, Shares, type ClientShare } from './shares.js';
import { SplitfdstreamService } from './splitfdstream-service.js';
import { StoreImages } from './store-images.js';
import { serveStoreLayers, type ServedStore } from './varlink/store-service.js';

export interface ServeConnectionOptions extends Abortable {
  /** @internal What the client may take, where it has other connections, too; disposed when the connection ends */
  share?: ClientShare | undefined;
}

export interface ServeStoreOptions extends ServeOptions {
  /** the one whose layers varlink clients ask for by number */
  image?: StoredImage | undefined;
}

/**
 * Serves a store to everyone who connects, each connection by itself, until the signal aborts: over JSON-RPC, or over
 * varlink when the client's first words are that. Takes ownership of `listener`.
 * @throws what accepting connections throws, except for the signal's reason
 * @example
 * ```ts
 * import { discoverStore, listen, serveStore, Store } from 'composefs-bridge';
 *
 * const stop = new AbortController();
 * process.once('SIGTERM', () => stop.abort());
 *
 * using store = Store.open(discoverStore());
 * const { signal } = stop;
 * await serveStore(store, await listen('/run/images.sock'), { signal, onError: console.error });
 * ```
 */
export async function serveStore(store: Store, listener: Listener, options: ServeStoreOptions = {}): Promise<void> {
  const served = { store, image: options.image };
  await serveListener(
    listener,
    (connection, signal, share) => serveConnection(served, connection, { signal, share }),
    options,
  );
}

/**
 * Serves one connection until the client closes it. Takes ownership of `connection`.
 * @throws RpcProtocolError or SocketError when it breaks; the signal's reason
 * @example
 * ```ts
 * import { discoverStore, listen, serveConnection, Store } from 'composefs-bridge';
 *
 * using store = Store.open(discoverStore());
 * using listener = await listen('/run/images.sock');
 * for await (const connection of listener) {
 *   await serveConnection({ store, image: await store.image('docker.io/library/debian:12') }, connection);
 *   break; // one client is enough
 * }
 * ```
 */
export async function serveConnection(
  served: ServedStore,
  connection: Connection,
  options: ServeConnectionOptions = {},
): Promise<void> {
  const { signal = new AbortController().signal, share = new Shares().connection(connection.peer.uid) } = options;
  using owned = connection;
  using _ = share;
  if ((await firstWords(owned, signal, share.limits.messageTime)) === 'varlink')
    await serveStoreLayers(owned, served, signal, share);
  else await serveJsonRpc(new StoreImages(served.store, owned.peer, signal), owned, share, signal);
}

/**
 * Serves the images of a repository over JSON-RPC to one connection. Varlink clients are turned away; they are for
 * `serveRepositories`. Takes ownership of `connection`.
 * @param repository open for reading; stays the caller's
 * @throws RpcProtocolError or SocketError when it breaks; the signal's reason
 * @example
 * ```ts
 * import { listen, Repository, serveRepositoryImages } from 'composefs-bridge';
 *
 * using repository = await Repository.open('/var/lib/images');
 * using listener = await listen('/run/images.sock');
 * for await (const connection of listener) {
 *   await serveRepositoryImages(repository, connection);
 *   break; // one client is enough
 * }
 * ```
 */
export async function serveRepositoryImages(
  repository: Repository,
  connection: Connection,
  options: ServeConnectionOptions = {},
): Promise<void> {
  const { signal = new AbortController().signal, share = new Shares().connection(connection.peer.uid) } = options;
  using owned = connection;
  using _ = share;
  if ((await firstWords(owned, signal, share.limits.messageTime)) === 'jsonrpc')
    await serveJsonRpc(new RepositoryImages(repository, owned.peer, signal), owned, share, signal);
}

/** Serves images over JSON-RPC to one connection. */
export async function serveJsonRpc(
  images: ServedImages,
  connection: Connection,
  share: ClientShare,
  signal: AbortSignal,
): Promise<void> {
  // No method takes descriptors: those that come are closed, and must not use up the server's.
  const { unread, ...limits } = servingLimits(share);
  connection.sendTimeout = unread;
  using rpc = new JsonRpcConnection(connection, { maxFds: MAX_FDS_PER_SEND, ...limits });
  // An answer that the client does not read would otherwise keep the service from ending.
  const close = (): void => rpc.close();
  signal.addEventListener('abort', close, { once: true });
  await using service = new SplitfdstreamService(images, connection, share, signal);
  try {
    await rpc.serve(service.handlers, signal);
  } finally {
    signal.removeEventListener('abort', close);
  }
}
