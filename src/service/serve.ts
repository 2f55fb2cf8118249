import type { Connection, Listener } from '../fd/fd-passing.js';
import { JsonRpcConnection } from '../rpc/jsonrpc-fdpass.js';
import type { Store } from '../storage/store.js';
import { StoreService } from './store-service.js';

export interface ServeOptions {
  /** Ends the service: connections are closed and locks released before the promise resolves. */
  signal: AbortSignal;
  /** Told when a connection ended by an error; the others go on. */
  onError?: (error: unknown) => void;
}

/**
 * Serves a store to everyone who connects, each connection by itself, until the signal aborts. Takes ownership of `listener`.
 * @throws what accepting connections throws, except for the signal's reason
 */
export async function serveStore(store: Store, listener: Listener, { signal, onError }: ServeOptions): Promise<void> {
  const connections = new Set<Promise<void>>();
  try {
    for (;;) {
      const connection = await listener.accept({ signal });
      const served = serveConnection(store, connection, signal)
        .catch((error: unknown) => {
          if (!signal.aborted) onError?.(error);
        })
        .finally(() => connections.delete(served));
      connections.add(served);
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    listener.close();
    await Promise.all(connections);
  }
}

/**
 * Serves one connection until the client closes it. Takes ownership of `connection`.
 * @throws RpcProtocolError or SocketError when it breaks; the signal's reason
 */
export async function serveConnection(store: Store, connection: Connection, signal: AbortSignal): Promise<void> {
  using rpc = new JsonRpcConnection(connection);
  // An answer that the client does not read would otherwise keep the service from ending.
  const close = (): void => rpc.close();
  signal.addEventListener('abort', close, { once: true });
  await using service = new StoreService(store, signal);
  try {
    await rpc.serve(service.handlers, signal);
  } finally {
    signal.removeEventListener('abort', close);
  }
}
