import type { Listener } from '../../fd/fd-passing.js';
import { serveListener, type ServeOptions } from '../serve-listener.js';
import { HandleTable } from './handles.js';
import { serveRepositories } from './repository-service.js';

/**
 * Serves composefs repositories over varlink to everyone who connects, until the signal aborts: any repository that
 * this process may open, to anybody whom the socket lets in. Takes ownership of `listener`.
 * @throws what accepting connections throws, except for the signal's reason
 * @example
 * ```ts
 * import { listen, serveVarlinkRepositories } from 'composefs-bridge';
 *
 * const stop = new AbortController();
 * process.once('SIGTERM', () => stop.abort());
 *
 * await serveVarlinkRepositories(await listen('/run/images.sock'), { signal: stop.signal, onError: console.error });
 * ```
 */
export async function serveVarlinkRepositories(listener: Listener, options: ServeOptions = {}): Promise<void> {
  const handles = new HandleTable();
  await serveListener(
    listener,
    (connection, signal, share) => serveRepositories(connection, handles, signal, share, options.onRemark),
    options,
  );
}
