import { setMaxListeners } from 'node:events';
import type { Connection, Listener } from '../fd/fd-passing.js';

export interface ServeOptions {
  /** Ends the service: connections are closed and locks released before the promise resolves. */
  signal: AbortSignal;
  /** Told when a connection ended by an error; the others go on. */
  onError?: (error: unknown) => void;
}

/**
 * Serves everyone who connects, each connection by itself, until the signal aborts. Takes ownership of `listener`.
 * @param serve takes ownership of the connection; its failure ends only that connection
 * @throws what accepting connections throws, except for the signal's reason
 */
export async function serveListener(listener: Listener, serve: (connection: Connection, signal: AbortSignal) => Promise<void>, options: ServeOptions): Promise<void> {
  // Every connection listens to it; Node takes more than ten listeners for a leak.
  const signal = AbortSignal.any([options.signal]);
  setMaxListeners(0, signal);
  const connections = new Set<Promise<void>>();
  try {
    for (;;) {
      const connection = await listener.accept({ signal });
      const served = serve(connection, signal)
        .catch((error: unknown) => {
          if (!signal.aborted) options.onError?.(error);
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
