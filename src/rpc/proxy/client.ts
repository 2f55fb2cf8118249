import type { Abortable } from '../../abortable.js';
import { printable } from '../../bytes.js';
import { BridgeError } from '../../errors.js';
import { SocketError, type Fd } from '../../fd/fd-passing.js';
import { PROXY_FDS_LIMIT } from '../../limits.js';
import { proxyMethods, type ProxyGift, type ProxyMethod, type ProxyReply } from '../contracts/image-proxy.js';
import { RpcProtocolError } from '../rpc-error.js';
import { ProxyConnection, type ProxyPacket } from './connection.js';
import { decodeReply, encodeRequest } from './packet.js';
import { ProxyError } from './proxy-error.js';

/** A reply of the right shape. The caller owns the descriptors, as many as the method gives. */
export interface ProxyAnswer<V> {
  value: V;
  /** 0: none */
  pipeid: number;
  fds: Fd[];
}

export interface ProxyClientOptions extends Abortable {
  /** milliseconds that the proxy may leave the oldest request unanswered */
  silenceLimit: number;
  /** milliseconds until it must have answered the first one; default: the same */
  startLimit?: number;
}

export interface ProxyRequestOptions extends Abortable {
  /** milliseconds that the proxy may take once it has answered what was asked before; default: the silence limit */
  limit?: number | undefined;
}

interface Pending {
  method: ProxyMethod;
  /** milliseconds; undefined: as long as it likes */
  limit: number | undefined;
  resolve(answer: ProxyAnswer<unknown>): void;
  reject(error: unknown): void;
}

/** How many descriptors come with a reply. */
const FDS: Readonly<Record<ProxyGift, number>> = { nothing: 0, pipe: 1, 'raw blob': 2, socket: 1 };
/** Every known proxy speaks this, and changes that an older client would not survive would have another. */
const VERSION = /^0\.2\.(\d{1,6})(?![\d.])/;
/** Before, configs come only in parts. */
const OLDEST = 3;
const POLICY = 6;

/**
 * The client's end of an image proxy. Requests may be made while others wait; they are answered in order, since
 * replies carry no number. Any violation of the protocol ends the connection and fails what waits.
 */
export class ProxyClient implements Disposable {
  readonly #connection: ProxyConnection;
  readonly #silenceLimit: number;
  readonly #pending: Pending[] = [];
  #timer: NodeJS.Timeout | undefined;
  #reading = false;
  #failure: unknown;
  /** What the proxy announced, of 0.2.x. */
  #version = 0;

  private constructor(connection: ProxyConnection, silenceLimit: number) {
    this.#connection = connection;
    this.#silenceLimit = silenceLimit;
  }

  /**
   * Begins a conversation.
   * @param socket a connected SOCK_SEQPACKET socket, whose ownership is taken
   * @throws RpcProtocolError, SocketError; ProxyError; BridgeError `RPC_TIMEOUT`, `PROXY_VERSION`
   */
  static async start(socket: Fd, options: ProxyClientOptions): Promise<ProxyClient> {
    const { signal, silenceLimit, startLimit: limit } = options;
    const client = new ProxyClient(new ProxyConnection(socket, { signal }), silenceLimit);
    try {
      const { value } = await client.request(proxyMethods.Initialize, [], { limit });
      const version = VERSION.exec(value)?.[1];
      if (version === undefined || Number(version) < OLDEST)
        throw new BridgeError(
          'PROXY_VERSION',
          `the image proxy speaks version ${printable(value)}; this program knows 0.2.${OLDEST} and later ones of 0.2`,
        );
      client.#version = Number(version);
      return client;
    } catch (error) {
      client.end(error);
      throw error;
    }
  }

  /** What the proxy announced, for people. */
  get version(): string {
    return `0.2.${this.#version}`;
  }

  /**
   * Whether the proxy is known to ask the policy for the image it opens, of an index as well. That of skopeo 1.9.3
   * (0.2.3) asks none, whatever it is told.
   */
  get asksPolicy(): boolean {
    return this.#version >= POLICY;
  }

  /** Whether the proxy is new enough for a request. */
  knows({ since }: ProxyMethod): boolean {
    return since <= this.#version;
  }

  /**
   * Makes a request and checks the reply: its shape, and how many descriptors came with it.
   * @param options when the signal gives the request up, the reply that still comes is dropped
   * @throws ProxyError when the proxy answers with an error; RpcProtocolError, SocketError; BridgeError `RPC_TIMEOUT`;
   *   the signal's reason
   */
  async request<A extends readonly unknown[], V>(
    method: ProxyMethod<A, V>,
    args: A,
    { signal, limit = this.#silenceLimit }: ProxyRequestOptions = {},
  ): Promise<ProxyAnswer<V>> {
    this.#check();
    signal?.throwIfAborted();
    const packet = encodeRequest({ method: method.name, args });
    const answer = this.#enqueue(method as ProxyMethod, limit) as Promise<ProxyAnswer<V>>;
    answer.catch(() => undefined);
    // A broken connection still may hold replies, so reading decides how it failed.
    this.#connection.send(packet).catch((error: unknown) => this.#failUnless(error, 'PEER_GONE'));
    this.#read();
    if (signal === undefined) return answer;
    return orAborted(answer, signal);
  }

  /** Says that there is nothing more to ask for; the proxy ends without a reply. */
  async shutdown(): Promise<void> {
    this.#check();
    const { name } = proxyMethods.Shutdown;
    await this.#connection.send(encodeRequest({ method: name, args: [] }));
  }

  /**
   * Ends a pipe. The proxy answers when everything has been written, so somebody must be reading.
   * @param read settles when nothing more is read; until then the answer may take any time
   * @throws as `request`; ProxyError for what was wrong with the content
   */
  async finishPipe(pipeid: number, read: Promise<unknown>): Promise<void> {
    const answer = this.request(proxyMethods.FinishPipe, [pipeid]);
    const pending = this.#pending.at(-1);
    if (pending !== undefined) pending.limit = undefined;
    this.#watch();
    const impatient = (): void => {
      if (pending !== undefined) pending.limit = this.#silenceLimit;
      if (pending === this.#pending[0]) this.#watch();
    };
    read.then(impatient, impatient);
    await answer;
  }

  /** Fails what waits, with `reason`, and closes the socket. Harmless when repeated. */
  end(reason: unknown): void {
    this.#fail(reason);
  }

  [Symbol.dispose](): void {
    this.#fail(new SocketError('CONNECTION_CLOSED', 'the connection was closed'));
  }

  async #enqueue(method: ProxyMethod, limit: number): Promise<ProxyAnswer<unknown>> {
    return new Promise((resolve, reject) => {
      this.#pending.push({ method, limit, resolve, reject });
      if (this.#pending.length === 1) this.#watch();
    });
  }

  #read(): void {
    if (this.#reading) return;
    this.#reading = true;
    this.#readReplies().catch((error: unknown) => this.#fail(error));
  }

  async #readReplies(): Promise<void> {
    for (let next; (next = this.#pending[0]) !== undefined; ) {
      const packet = await this.#connection.receive();
      if (packet === undefined)
        throw new SocketError('PEER_GONE', `the image proxy ended instead of answering ${next.method.name}`);
      const outcome = open(next.method, packet);
      this.#pending.shift();
      this.#watch();
      if (outcome instanceof ProxyError) next.reject(outcome);
      else next.resolve(outcome);
    }
    this.#reading = false;
  }

  /** The oldest request is the one the proxy works on. */
  #watch(): void {
    clearTimeout(this.#timer);
    const [oldest] = this.#pending;
    if (oldest?.limit === undefined || this.#failure !== undefined) return;
    const { limit } = oldest;
    this.#timer = setTimeout(
      () =>
        this.#fail(
          new BridgeError('RPC_TIMEOUT', `the image proxy did not answer ${oldest.method.name} within ${limit} ms`),
        ),
      limit,
    );
  }

  #failUnless(error: unknown, code: 'PEER_GONE'): void {
    if (!(error instanceof SocketError && error.code === code)) this.#fail(error);
  }

  #fail(error: unknown): void {
    this.#failure ??= error;
    clearTimeout(this.#timer);
    this.#connection.end(error);
    for (const { reject } of this.#pending.splice(0)) reject(error);
  }

  #check(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }
}

/** @throws RpcProtocolError, and then the descriptors are closed */
function open(method: ProxyMethod, { bytes, fds }: ProxyPacket): ProxyAnswer<unknown> | ProxyError {
  try {
    const reply = decodeReply(bytes);
    checkFds(method, reply, fds.length);
    if (!reply.success) return new ProxyError(method.name, reply.error, reply.error_code);
    const value = method.value.safeParse(reply.value ?? null);
    if (!value.success)
      throw new RpcProtocolError('INVALID_RESULT', `the image proxy's reply to ${method.name} has the wrong shape`, {
        cause: value.error,
      });
    return { value: value.data, pipeid: reply.pipeid, fds: fds.splice(0) };
  } finally {
    for (const fd of fds) fd.close();
  }
}

function checkFds({ name, gives }: ProxyMethod, { success, pipeid }: ProxyReply, count: number): void {
  const expected = success ? FDS[gives] : 0;
  if (count !== expected || count > PROXY_FDS_LIMIT)
    throw new RpcProtocolError(
      'MISMATCHED_COUNT',
      `${count} descriptors came with the image proxy's reply to ${name}, and there should be ${expected}`,
    );
  if (pipeid > 0 !== (success && gives === 'pipe'))
    throw new RpcProtocolError('INVALID_MESSAGE', `the image proxy's reply to ${name} has the pipe id ${pipeid}`);
}

async function orAborted<V>(answer: Promise<ProxyAnswer<V>>, signal: AbortSignal): Promise<ProxyAnswer<V>> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      reject(signal.reason as Error);
      answer.then(
        ({ fds }) => fds.forEach((fd) => fd.close()),
        () => undefined,
      );
    };
    signal.addEventListener('abort', onAbort, { once: true });
    answer.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}
