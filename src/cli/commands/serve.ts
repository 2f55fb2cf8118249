import { listen, type Connection } from '../../fd/fd-passing.js';
import { serveConnection, serveRepositoryImages } from '../../service/serve.js';
import { serveListener } from '../../service/serve-listener.js';
import type { ClientShare } from '../../service/shares.js';
import { inheritedSocket, notifySystemd } from '../../service/systemd.js';
import { discoverStore } from '../../storage/discover.js';
import { Store } from '../../storage/store.js';
import { describeError, UsageError } from '../errors.js';
import { openRepository, repositoryPath } from '../open-repository.js';
import type { Session } from '../session.js';
import { talk } from '../talk.js';
import type { ServeCommandOptions } from './serve.options.js';

type Serve = (connection: Connection, signal: AbortSignal, share?: ClientShare) => Promise<void>;

/** `serve`: answers splitfdstream requests for a containers-storage or a repository until it is stopped. */
export async function run(session: Session, _: [], options: ServeCommandOptions): Promise<void> {
  const inherited = inheritedSocket(process.env, { signal: session.signal });
  if (inherited === undefined && options.socket === undefined) {
    throw new UsageError('serve needs --socket PATH, or a socket from systemd (LISTEN_FDS)');
  }
  if (options.repository) {
    // What is wrong with it is said at once.
    (await openRepository(session, options, 'read'))[Symbol.dispose]();
    return await answer(session, inherited, options, repositoryPath(options), async (connection, signal, share) => {
      using owned = connection;
      using _ = share;
      // Garbage collection waits for whoever has the repository open; a server that nobody uses must not keep it
      // waiting.
      using repository = await openRepository({ ...session, signal }, options, 'read');
      await serveRepositoryImages(repository, owned, { signal, share });
    });
  }
  const where = options.root === undefined ? discoverStore() : { graphroot: options.root };
  using store = Store.open(where);
  const image = options.image === undefined ? undefined : await store.image(options.image, { signal: session.signal });
  await answer(session, inherited, options, where.graphroot, (connection, signal, share) =>
    serveConnection({ store, image }, connection, { signal, share }),
  );
}

async function answer(
  { signal }: Session,
  inherited: ReturnType<typeof inheritedSocket>,
  { socket }: ServeCommandOptions,
  what: string,
  serve: Serve,
): Promise<void> {
  if (inherited?.kind === 'connection') {
    await notifySystemd('READY=1', process.env);
    return await serve(inherited.connection, signal);
  }
  const listener = inherited?.listener ?? (await listen(socket as string, { signal }));
  talk(`serving ${what} on ${inherited ? 'the inherited socket' : socket}\n`);
  await notifySystemd('READY=1', process.env);
  const onError = (error: unknown): void => talk(`connection ended: ${describeError(error).replace(/^Error: /, '')}\n`);
  await serveListener(listener, serve, { signal, onError });
}
