import { debug } from '../../debug.js';
import { SocketError, type Fd } from '../../fd/fd-passing.js';
import { PROXY_REQUESTS_LIMIT } from '../../limits.js';
import { ProxyConnection, type ProxyPacket } from '../../rpc/proxy/connection.js';
import { decodeRequest, encodeReply, type ProxyRequest } from '../../rpc/proxy/packet.js';
import { ImageProxy, TOO_LONG, type Outcome } from './image-proxy.js';
import { errorCodeOf, messageOf, ProxyFault } from './proxy-fault.js';
import type { ImageProxyOptions } from './proxy-options.js';

/**
 * Serves one client of skopeo's image proxy, protocol 0.2.9, as `skopeo experimental-image-proxy` does: images of
 * registries, stores, layouts, archives and repositories, their documents, and their blobs through pipes. Requests are
 * answered in their order; while FinishPipe waits for a pipe, those after it are worked on.
 * @param socket a connected SOCK_SEQPACKET socket, whose ownership is taken
 * @returns when the client has asked for the end, or has closed its end
 * @throws SocketError `NOT_A_SOCKET`; `PEER_GONE` when replies cannot be sent any more; the signal's reason
 * @example
 * ```ts
 * import { fromFd, socketpair } from 'composefs-bridge/fd-passing';
 * import { serveImageProxy } from 'composefs-bridge';
 *
 * const [ours, theirs] = socketpair('seqpacket');
 * using client = fromFd(theirs);
 * const served = serveImageProxy(ours);
 * await client.send(Buffer.from('{"method":"Initialize"}'));
 * console.log(String((await client.receive())?.bytes)); // {"success":true,"value":"0.2.9",…
 * client.close();
 * await served;
 * ```
 */
export async function serveImageProxy(socket: Fd, options: ImageProxyOptions = {}): Promise<void> {
  using connection = new ProxyConnection(socket, { signal: options.signal });
  const proxy = new ImageProxy(options);
  const replies = new Replies(connection);
  // Each request is begun when the one before it is done, FinishPipe's waiting aside.
  let turn: Promise<unknown> = Promise.resolve();
  try {
    for (;;) {
      await replies.room();
      const packet = await nextPacket(connection);
      if (packet === undefined) return;
      const request = requestOf(packet);
      if (!(request instanceof ProxyFault) && request.method === 'Shutdown') break;
      const begun = turn.then(async () => {
        if (request instanceof ProxyFault) throw request;
        debug(() => `proxy: ${request.method}`);
        return proxy.request(request.method, request.args);
      });
      turn = begun.catch(() => undefined);
      replies.add(begun);
    }
    await replies.sent();
  } finally {
    await proxy.end();
    await turn;
    await proxy[Symbol.asyncDispose]();
  }
}

/** The replies that are due, which leave in the order of their requests. */
class Replies {
  readonly #connection: ProxyConnection;
  readonly #waiting: (() => void)[] = [];
  #due = 0;
  #sending: Promise<void> = Promise.resolve();
  #failure: unknown;

  constructor(connection: ProxyConnection) {
    this.#connection = connection;
  }

  /** Waits while too many are due. @throws when one could not be sent */
  async room(): Promise<void> {
    while (this.#due >= PROXY_REQUESTS_LIMIT && this.#failure === undefined)
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.#check();
  }

  add(begun: Promise<Outcome>): void {
    this.#due++;
    begun.catch(() => undefined);
    this.#sending = this.#sending
      .then(() => this.#send(begun))
      .catch((error: unknown) => {
        this.#failure ??= error;
        this.#connection.end(error);
      })
      .finally(() => {
        this.#due--;
        for (const resolve of this.#waiting.splice(0)) resolve();
      });
  }

  /** Waits until all are sent. */
  async sent(): Promise<void> {
    await this.#sending;
    this.#check();
  }

  async #send(begun: Promise<Outcome>): Promise<void> {
    let fds: Fd[] = [];
    try {
      let packet: Buffer;
      try {
        const outcome = await begun;
        fds = outcome.fds ?? [];
        // What is waited for may fail while nobody looks.
        await outcome.after;
        packet = encodeReply({
          success: true,
          value: outcome.value,
          pipeid: outcome.pipeid ?? 0,
          error_code: '',
          error: '',
        });
      } catch (error) {
        for (const fd of fds.splice(0)) fd.close();
        packet = refusal(error);
      }
      if (this.#failure === undefined) await this.#connection.send(packet, fds);
    } finally {
      for (const fd of fds) fd.close();
    }
  }

  #check(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }
}

function refusal(error: unknown): Buffer {
  const message = messageOf(error);
  debug(() => `proxy: error: ${message}`);
  return encodeReply({
    success: false,
    value: undefined,
    pipeid: 0,
    error_code: errorCodeOf(error),
    error: message,
  });
}

/** @returns undefined at the end; a fault for a packet that is too long */
async function nextPacket(connection: ProxyConnection): Promise<ProxyPacket | ProxyFault | undefined> {
  try {
    return await connection.receive();
  } catch (error) {
    if (error instanceof SocketError && error.code === 'PACKET_TRUNCATED') return new ProxyFault(TOO_LONG);
    if (error instanceof SocketError && error.code === 'PEER_GONE') return undefined;
    throw error;
  }
}

/** No request brings descriptors: those that come are closed. */
function requestOf(packet: ProxyPacket | ProxyFault): ProxyRequest | ProxyFault {
  if (packet instanceof ProxyFault) return packet;
  for (const fd of packet.fds) fd.close();
  try {
    const request = decodeRequest(packet.bytes);
    if (request.args.every((value) => typeof value !== 'number' || Number.isFinite(value))) return request;
    return new ProxyFault('invalid request: a number is too large');
  } catch (error) {
    return new ProxyFault(`invalid request: ${(error as Error).message}`);
  }
}
