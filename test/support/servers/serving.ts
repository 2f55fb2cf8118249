// The store's service on a socket, as this program, or as older servers that know fewer extensions.
import { join } from 'node:path';
import { listen, type Connection } from '../../../src/fd/fd-passing.js';
import { FEATURE_EXACT, methods } from '../../../src/rpc/contracts/splitfdstream.js';
import { JsonRpcConnection } from '../../../src/rpc/jsonrpc/connection.js';
import type { Handler, Handlers, Reply } from '../../../src/rpc/jsonrpc/method.js';
import { serveStore } from '../../../src/service/serve.js';
import { SplitfdstreamService } from '../../../src/service/splitfdstream-service.js';
import { Shares } from '../../../src/service/shares.js';
import { StoreImages } from '../../../src/service/store-images.js';
import type { Store } from '../../../src/storage/store.js';

/**
 * `directory`: all this program has. `exact`: one descriptor per file, tars byte for byte. `legacy`: containers' own
 * server, which answers neither GetInfo nor with `layers`, and ignores parameters it does not know.
 */
export type Form = 'directory' | 'exact' | 'legacy';

/** Serves until disposed, which waits until the last connection is closed. */
export async function serving(
  store: Store,
  folder: string,
  form: Form = 'directory',
  onError?: (error: unknown) => void,
): Promise<AsyncDisposable & { path: string }> {
  const path = join(folder, `${form}.sock`);
  const stop = new AbortController();
  const listener = await listen(path);
  const served =
    form === 'directory'
      ? serveStore(store, listener, { signal: stop.signal, ...(onError ? { onError } : {}) })
      : acceptAll(listener, (connection) => serveOld(store, connection, form, stop.signal));
  return {
    path,
    async [Symbol.asyncDispose]() {
      stop.abort();
      listener.close();
      await served;
    },
  };
}

async function acceptAll(
  listener: AsyncIterable<Connection>,
  serve: (connection: Connection) => Promise<void>,
): Promise<void> {
  const served: Promise<void>[] = [];
  for await (const connection of listener) served.push(serve(connection).catch(() => {}));
  await Promise.all(served);
}

async function serveOld(store: Store, connection: Connection, form: Form, signal: AbortSignal): Promise<void> {
  using rpc = new JsonRpcConnection(connection);
  await using service = new SplitfdstreamService(
    new StoreImages(store, connection.peer, signal),
    connection,
    new Shares().connection(connection.peer.uid),
    signal,
  );
  await rpc.serve(oldHandlers(service.handlers, form), signal);
}

function oldHandlers(handlers: Handlers, form: Form): Handlers {
  const old = new Map<string, Handler>(handlers);
  const getLayer = handlers.get(methods.GetSplitFDStream.name) as Handler;
  const getImage = handlers.get(methods.GetImage.name) as Handler;
  const strip = (params: unknown, names: readonly string[]): unknown =>
    Object.fromEntries(Object.entries(params as object).filter(([name]) => !names.includes(name)));
  if (form === 'exact') {
    old.set(methods.GetInfo.name, async () => ({ result: { features: [FEATURE_EXACT] } }));
    old.set(methods.GetSplitFDStream.name, (params, context) => getLayer(strip(params, ['format']), context));
  } else {
    old.delete(methods.GetInfo.name);
    old.set(methods.GetSplitFDStream.name, (params, context) => getLayer(strip(params, ['format', 'exact']), context));
    old.set(methods.GetImage.name, async (params, context) => withoutLayers(await getImage(params, context)));
  }
  return old;
}

function withoutLayers({ result }: Reply): Reply {
  const { layers: _, ...rest } = result as { layers?: unknown };
  return { result: rest };
}
