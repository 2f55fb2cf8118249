import { resolve } from 'node:path';
import { BridgeError } from '../../errors.js';
import { listen, type Connection } from '../../fd/fd-passing.js';
import { serveConnection, serveRepositoryImages } from '../../service/serve.js';
import { serveListener } from '../../service/serve-listener.js';
import type { ClientShare } from '../../service/shares.js';
import { inheritedSocket, notifySystemd, type InheritedSocket } from '../../service/systemd.js';
import { discoverStore } from '../../storage/discover.js';
import { Store, type StoreOptions } from '../../storage/store.js';
import { userNamespaceError } from '../../userns/error.js';
import { InsideProcess } from '../../userns/inside-process.js';
import { mayNeedUserNamespace } from '../../userns/needed.js';
import { serveTask } from '../../userns/task.js';
import { describeError, UsageError } from '../errors.js';
import { openRepository, repositoryPath } from '../open-repository.js';
import type { Session } from '../session.js';
import { talk } from '../talk.js';
import type { ServeCommandOptions } from './serve.options.js';

type Serve = (connection: Connection, signal: AbortSignal, share?: ClientShare) => Promise<void>;

/** What clients come by. */
type Door = InheritedSocket & { name: string };

/** `serve`: answers splitfdstream requests for a containers-storage or a repository until it is stopped. */
export async function run(session: Session, _: [], options: ServeCommandOptions): Promise<void> {
  const inherited = inheritedSocket(process.env, { signal: session.signal });
  if (inherited === undefined && options.socket === undefined) {
    throw new UsageError('serve needs --socket PATH, or a socket from systemd (LISTEN_FDS)');
  }
  if (options.repository) {
    // What is wrong with it is said at once.
    (await openRepository(session, options, 'read'))[Symbol.dispose]();
    const door = await openDoor(session, inherited, options);
    return await answer(session, door, repositoryPath(options), async (connection, signal, share) => {
      using owned = connection;
      using _ = share;
      // Garbage collection waits for whoever has the repository open; a server that nobody uses must not keep it
      // waiting.
      using repository = await openRepository({ ...session, signal }, options, 'read');
      await serveRepositoryImages(repository, owned, { signal, share });
    });
  }
  const where = options.root === undefined ? discoverStore() : { graphroot: resolve(options.root) };
  using store = Store.open(where);
  const image = options.image === undefined ? undefined : await store.image(options.image, { signal: session.signal });
  const door = await openDoor(session, inherited, options);
  const server = await startInside(session, door, where, options.image);
  if (server !== undefined) return await watchInside(session, door, where.graphroot, server);
  await answer(session, door, where.graphroot, (connection, signal, share) =>
    serveConnection({ store, image }, connection, { signal, share }),
  );
}

async function openDoor(
  { signal }: Session,
  inherited: InheritedSocket | undefined,
  { socket = '' }: ServeCommandOptions,
): Promise<Door> {
  return inherited === undefined
    ? { kind: 'listener', listener: await listen(socket, { signal }), name: socket }
    : { ...inherited, name: 'the inherited socket' };
}

async function answer({ signal }: Session, door: Door, what: string, serve: Serve): Promise<void> {
  await announce(door, what);
  if (door.kind === 'connection') return await serve(door.connection, signal);
  const onError = (error: unknown): void => talk(`connection ended: ${describeError(error).replace(/^Error: /, '')}\n`);
  await serveListener(door.listener, serve, { signal, onError });
}

async function announce({ kind, name }: Door, what: string): Promise<void> {
  if (kind === 'listener') talk(`serving ${what} on ${name}\n`);
  await notifySystemd('READY=1', process.env);
}

/**
 * Starts a process in the store's user namespace, where all of the store can be read, to serve it in this one's place.
 * @returns undefined where that is not needed, or cannot be had, which is said; all else can be served without
 */
async function startInside(
  { signal }: Session,
  door: Door,
  where: StoreOptions,
  image: string | undefined,
): Promise<InsideProcess | undefined> {
  if (!mayNeedUserNamespace(where)) return undefined;
  const socket = door.kind === 'connection' ? door.connection : door.listener;
  try {
    return await InsideProcess.start(serveTask(where, image), socket.number, { signal });
  } catch (error) {
    if (!(error instanceof BridgeError) || error.code !== 'USER_NAMESPACE') throw error;
    talk(`files that only root of your user namespace may read cannot be served: ${error.message}\n`);
    return undefined;
  }
}

/** Waits until the other process has done, and ends it when this one is to end. */
async function watchInside({ signal }: Session, door: Door, what: string, server: InsideProcess): Promise<void> {
  await using _ = server;
  server.onTalk((piece) => void process.stderr.write(piece));
  await announce(door, what);
  // Whoever waits for the end of the connection shall see it.
  if (door.kind === 'connection') door.connection.close();
  const status = await server.ended({ signal });
  if (door.kind === 'listener') door.listener.close();
  if (status !== 0 && !signal.aborted)
    throw userNamespaceError(`the server in the user namespace ended with status ${status}`);
}
