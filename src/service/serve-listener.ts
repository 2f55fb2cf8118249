import type { Abortable } from '../abortable.js';
import { setMaxListeners } from 'node:events';
import type { Connection, Listener } from '../fd/fd-passing.js';
import type { ClientLimits } from '../limits.js';
import { Shares, type ClientShare } from './shares.js';

/** The signal ends the service: connections are closed and locks released before the promise resolves. */
export interface ServeOptions extends Abortable {
  /** Told when a connection ended by an error; the others go on. */
  onError?: (error: unknown) => void;
  /** Told what a reply has no place for, and whoever runs the service should know. */
  onRemark?: (remark: string) => void;
  /** What clients may take, where it differs from `CLIENT_LIMITS`. */
  limits?: Partial<ClientLimits>;
}

/**
 * Serves everyone who connects, each connection by itself, until the signal aborts. Takes ownership of `listener`.
 * @param serve takes ownership of the connection and of the client's share; its failure ends only that connection
 * @throws what accepting connections throws, except for the signal's reason
 */
export async function serveListener(
  listener: Listener,
  serve: (connection: Connection, signal: AbortSignal, share: ClientShare) => Promise<void>,
  options: ServeOptions,
): Promise<void> {
  // Every connection listens to it; Node takes more than ten listeners for a leak.
  const signal = AbortSignal.any(options.signal ? [options.signal] : []);
  setMaxListeners(0, signal);
  const connections = new Set<Promise<void>>();
  const shares = new Shares(options.limits);
  try {
    for (;;) {
      const connection = await listener.accept({ signal });
      const share = shareOf(shares, connection);
      if (share === undefined) continue;
      connection.foreignFds = share;
      const served = serve(connection, signal, share)
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

/**
 * @returns undefined for a client too many, which is turned away: it could not be told before it is known what it
 *   speaks
 */
function shareOf(shares: Shares, connection: Connection): ClientShare | undefined {
  try {
    return shares.connection(connection.peer.uid);
  } catch {
    connection.close();
    return undefined;
  }
}
