import { listen } from '../../fd/fd-passing.js';
import { inheritedListener, notifySystemd } from '../../service/systemd.js';
import { serveStore } from '../../service/serve.js';
import { discoverStore } from '../../storage/discover.js';
import { Store } from '../../storage/store.js';
import { describeError, UsageError } from '../errors.js';
import type { GlobalOptions, Session } from '../session.js';

export interface ServeCommandOptions extends GlobalOptions {
  socket?: string;
  root?: string;
}

/** `serve`: answers splitfdstream requests for a containers-storage until it is stopped. */
export async function run({ signal }: Session, _: [], options: ServeCommandOptions): Promise<void> {
  const inherited = inheritedListener(process.env, { signal });
  if (inherited === undefined && options.socket === undefined) {
    throw new UsageError('serve needs --socket PATH, or a socket from systemd (LISTEN_FDS)');
  }
  const where = options.root === undefined ? discoverStore() : { graphroot: options.root };
  using store = Store.open(where);
  const listener = inherited ?? (await listen(options.socket as string, { signal }));
  process.stderr.write(`serving ${where.graphroot} on ${inherited ? 'the inherited socket' : options.socket}\n`);
  await notifySystemd('READY=1', process.env);
  await serveStore(store, listener, {
    signal,
    onError: (error) => process.stderr.write(`connection ended: ${describeError(error).replace(/^Error: /, '')}\n`),
  });
}
