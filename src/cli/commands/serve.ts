import { listen } from '../../fd/fd-passing.js';
import { inheritedSocket, notifySystemd } from '../../service/systemd.js';
import { serveConnection, serveStore } from '../../service/serve.js';
import { discoverStore } from '../../storage/discover.js';
import { Store } from '../../storage/store.js';
import { describeError, UsageError } from '../errors.js';
import type { GlobalOptions, Session } from '../session.js';

export interface ServeCommandOptions extends GlobalOptions {
  socket?: string;
  root?: string;
  image?: string;
}

/** `serve`: answers splitfdstream requests for a containers-storage until it is stopped. */
export async function run({ signal }: Session, _: [], options: ServeCommandOptions): Promise<void> {
  const inherited = inheritedSocket(process.env, { signal });
  if (inherited === undefined && options.socket === undefined) {
    throw new UsageError('serve needs --socket PATH, or a socket from systemd (LISTEN_FDS)');
  }
  const where = options.root === undefined ? discoverStore() : { graphroot: options.root };
  using store = Store.open(where);
  const image = options.image === undefined ? undefined : await store.image(options.image, { signal });
  if (inherited?.kind === 'connection') return await serveConnection({ store, image }, inherited.connection, signal);
  const listener = inherited?.listener ?? (await listen(options.socket as string, { signal }));
  process.stderr.write(`serving ${where.graphroot} on ${inherited ? 'the inherited socket' : options.socket}\n`);
  await notifySystemd('READY=1', process.env);
  await serveStore(store, listener, {
    signal,
    image,
    onError: (error) => process.stderr.write(`connection ended: ${describeError(error).replace(/^Error: /, '')}\n`),
  });
}
