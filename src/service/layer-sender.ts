import { NotFoundError } from '../errors.js';
import { fromFd, type Connection } from '../fd/fd-passing.js';
import { readableFor } from '../layer/readable-for.js';
import { sendLayer, untilReleased } from '../layer/socket-layer.js';
import type { LayerStream } from '../layer/stream.js';
import { storeLayersMethods as methods } from '../rpc/contracts/store-layers.js';
import type { JsonRpcConnection } from '../rpc/jsonrpc/connection.js';
import { implement } from '../rpc/jsonrpc/method.js';
import { RpcProtocolError } from '../rpc/rpc-error.js';
import { typedHandlers } from '../rpc/typed-error.js';
import type { Store } from '../storage/store.js';

/**
 * Sends layers of a store to the other end of a connection, several at a time, until it closes its end. The other end
 * is a process of ours, of the user whose namespace this is: it gets the names of what it may open, and the rest open.
 * @param signal ends what is under way, and with it the connection
 * @throws RpcProtocolError or SocketError when the connection breaks; the signal's reason
 */
export async function serveStoreLayers(store: Store, rpc: JsonRpcConnection, signal: AbortSignal): Promise<void> {
  await using sending = new Sending();
  const handlers = [
    implement(methods.SendLayer, async ({ layer: id }, { fds: [socket], peer }) => {
      if (socket === undefined) throw new RpcProtocolError('INVALID_FD_COUNT', 'a layer is sent over a socket');
      const connection = fromFd(socket);
      try {
        const layer = await store.layerStream({ id }, { lease: 'lock', signal });
        return { result: { stream: sending.start(layer, connection, { mayOpen: readableFor(peer), signal }) } };
      } catch (error) {
        connection.close();
        throw error;
      }
    }),
    implement(methods.EndLayer, async ({ stream }) => {
      await sending.sent(stream);
      return { result: {} };
    }),
  ];
  await rpc.serve(typedHandlers(handlers), signal);
}

interface Started {
  connection: Connection;
  /** all of it, or why not */
  sent: Promise<void>;
  /** and the layer is given back */
  ended: Promise<void>;
}

/** The layers that are on their way. */
class Sending implements AsyncDisposable {
  readonly #started = new Map<number, Started>();
  #next = 0;

  /** @returns what it is known by */
  start(layer: LayerStream, connection: Connection, options: Parameters<typeof sendLayer>[2]): number {
    const sent = sendLayer(layer, connection, options);
    this.#started.set(this.#next, { connection, sent, ended: this.#end(sent, layer, connection, options?.signal) });
    return this.#next++;
  }

  async #end(sent: Promise<void>, layer: LayerStream, connection: Connection, signal?: AbortSignal): Promise<void> {
    await using _ = layer;
    using _connection = connection;
    // Whoever asks for the end of the layer is told.
    await sent.then(() => untilReleased(connection, { signal })).catch(() => undefined);
  }

  async sent(stream: number): Promise<void> {
    const started = this.#started.get(stream);
    if (started === undefined) throw new NotFoundError(`no layer is being sent as ${stream}`);
    await started.sent;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { connection } of this.#started.values()) connection.close();
    await Promise.allSettled([...this.#started.values()].map(({ ended }) => ended));
  }
}
