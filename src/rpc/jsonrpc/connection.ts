import type { Abortable } from '../../abortable.js';
import jsonrpc, { type Defined } from 'jsonrpc-lite';
import { BridgeError } from '../../errors.js';
import { SocketError, type Connection, type Fd } from '../../fd/fd-passing.js';
import { FdMessageReader, type FdMessage, type MessageLimits } from './message-reader.js';
import { FdMessageWriter } from './message-writer.js';
import {
  INVALID_REQUEST,
  METHOD_NOT_FOUND,
  MethodError,
  RemoteError,
  RpcProtocolError,
  SERVER_ERROR,
} from '../rpc-error.js';
import { classify, type RpcId, type RpcMessage } from './message.js';
import type { Handlers, Reply, RpcMethod } from './method.js';

/** The signal gives the request up with its reason; an answer that still comes is discarded. */
export interface RequestOptions extends Abortable {
  /** Descriptors to send along, borrowed until the answer. */
  fds?: readonly Fd[];
  /** Milliseconds to wait for the answer. Default: forever. */
  timeout?: number;
}

/** A reply as it arrived. The caller owns its descriptors. */
export interface ReceivedReply<R> {
  result: R;
  fds: Fd[];
}

interface PendingRequest {
  method: string;
  resolve(answer: ReceivedReply<unknown>): void;
  reject(error: unknown): void;
}

/**
 * JSON-RPC 2.0 with descriptors over a stream connection, as client, server, or both. A client reads only while a
 * request waits for its answer. Any violation of the protocol ends the connection and fails what waits on it.
 */
export class JsonRpcConnection implements Disposable {
  readonly #connection: Connection;
  readonly #reader: FdMessageReader;
  readonly #writer: FdMessageWriter;
  readonly #pending = new Map<number, PendingRequest>();
  #nextId = 1;
  #notified = false;
  /** Ends the wait for messages when nobody waits for an answer any more. */
  #reading: { abort: AbortController; ended: Promise<void> } | undefined;
  #serving = false;
  #failure: unknown;

  /** Takes ownership of `connection`, which must be a stream. */
  constructor(connection: Connection, limits: MessageLimits = {}) {
    if (connection.type !== 'stream') throw new TypeError('JSON-RPC with descriptors needs a stream connection');
    this.#connection = connection;
    this.#reader = new FdMessageReader(connection, limits);
    this.#writer = new FdMessageWriter(connection);
  }

  get closed(): boolean {
    return this.#connection.closed;
  }

  /**
   * Calls a method of the peer and checks the answer's shape.
   * @throws RemoteError when the peer answers with an error; RpcProtocolError (INVALID_RESULT for an answer of another
   * shape), SocketError; BridgeError RPC_TIMEOUT; the signal's reason
   */
  async call<P, R extends object>(
    method: RpcMethod<P, R>,
    params: P,
    options: RequestOptions = {},
  ): Promise<ReceivedReply<R>> {
    const { result, fds } = await this.request(method.name, params as Defined, options);
    const checked = method.result.safeParse(result);
    if (checked.success) return { result: checked.data, fds };
    for (const fd of fds) fd.close();
    throw new RpcProtocolError('INVALID_RESULT', `the answer to ${method.name} has the wrong shape`, {
      cause: checked.error,
    });
  }

  /**
   * Like {@link call}, for a method without a description: the result is unchecked.
   * @param params an object, for the known servers
   */
  async request(method: string, params: Defined, options: RequestOptions = {}): Promise<ReceivedReply<unknown>> {
    const { fds = [], timeout } = options;
    const deadline = timeout === undefined ? undefined : { ms: timeout, controller: new AbortController() };
    const signals = [options.signal, deadline?.controller.signal].filter((signal) => signal !== undefined);
    const signal = signals.length > 0 ? AbortSignal.any(signals) : undefined;
    signal?.throwIfAborted();
    this.#check();
    const id = this.#nextId++;
    const timer = deadline && setTimeout(() => deadline.controller.abort(timedOut(method, deadline.ms)), deadline.ms);
    const answer = new Promise<ReceivedReply<unknown>>((resolve, reject) =>
      this.#pending.set(id, { method, resolve, reject }),
    );
    const onAbort = (): void => this.#settle(id)?.reject(signal?.reason);
    signal?.addEventListener('abort', onAbort, { once: true });
    const written = this.#writer.write(jsonrpc.request(id, method, params as object), fds, signal);
    written.catch((error: unknown) => this.#settle(id)?.reject(error));
    this.#startReading();
    try {
      return await answer;
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
    }
  }

  /** Sends a notification; resolves when the kernel has taken it. `fds` are borrowed until then. */
  async notify(method: string, params: Defined, fds: readonly Fd[] = []): Promise<void> {
    this.#check();
    this.#notified = true;
    await this.#writer.write(jsonrpc.notification(method, params as object), fds);
  }

  /**
   * Answers the peer's requests, one after the other, until it closes its end. Notifications call their handler
   * and its reply is dropped. A handler must not wait for requests it makes on this same connection.
   * @throws RpcProtocolError or SocketError when the connection breaks; the signal's reason
   */
  async serve(handlers: Handlers, signal?: AbortSignal): Promise<void> {
    this.#check();
    if (this.#serving) throw new Error('this connection is being served already');
    this.#serving = true;
    this.#reading?.abort.abort();
    await this.#reading?.ended;
    try {
      for (let message; (message = await this.#reader.next(signal)); ) await this.#dispatch(message, handlers);
      this.#fail(new SocketError('PEER_GONE', 'the peer closed the connection'));
    } catch (error) {
      this.#fail(error);
      throw error;
    }
  }

  /** Fails what waits with CONNECTION_CLOSED and closes the socket. Harmless when repeated. */
  close(): void {
    this.#fail(new SocketError('CONNECTION_CLOSED', 'the connection was closed'));
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #startReading(): void {
    if (this.#reading || this.#serving) return;
    const abort = new AbortController();
    const ended = this.#readAnswers(abort.signal).then(() => {
      this.#reading = undefined;
      if (this.#pending.size > 0) this.#startReading();
    });
    this.#reading = { abort, ended };
  }

  async #readAnswers(signal: AbortSignal): Promise<void> {
    try {
      while (this.#pending.size > 0 && !this.#serving) {
        const message = await this.#reader.next(signal);
        if (!message) throw new SocketError('PEER_GONE', 'the peer closed the connection');
        await this.#dispatch(message, noHandlers);
      }
    } catch (error) {
      if (error !== signal.reason) this.#fail(error);
    }
  }

  async #dispatch({ value, fds }: FdMessage, handlers: Handlers): Promise<void> {
    const unclaimed = new Set(fds);
    try {
      const message = classify(value);
      if (!message && handlers === noHandlers)
        throw new RpcProtocolError('INVALID_MESSAGE', 'the peer sent something that is no JSON-RPC message');
      if (!message) await this.#sendError(null, INVALID_REQUEST, 'Invalid Request');
      else if (message.kind === 'success' || message.kind === 'error') this.#answer(message, fds, unclaimed);
      else await this.#handle(message, fds, handlers);
    } finally {
      for (const fd of unclaimed) fd.close();
    }
  }

  #answer(message: RpcMessage & { kind: 'success' | 'error' }, fds: Fd[], unclaimed: Set<Fd>): void {
    const id = message.id ?? this.#unidentified();
    if (typeof id !== 'number' || id < 1 || id >= this.#nextId) {
      if (message.id === null && this.#notified) return;
      throw new RpcProtocolError(
        'INVALID_MESSAGE',
        `an answer to request ${JSON.stringify(message.id)}, which was never sent`,
      );
    }
    const pending = this.#settle(id);
    if (!pending) return;
    if (message.kind === 'error') {
      const { code, message: text, data } = message.error;
      pending.reject(new RemoteError(pending.method, code, text, data));
      return;
    }
    unclaimed.clear();
    pending.resolve({ result: message.result, fds });
  }

  /** An error without id answers a request that could not be read, or, from some servers, a notification. */
  #unidentified(): number | null {
    const [oldest] = this.#pending.keys();
    return this.#notified ? null : (oldest ?? null);
  }

  async #handle(
    message: RpcMessage & { kind: 'request' | 'notification' },
    fds: Fd[],
    handlers: Handlers,
  ): Promise<void> {
    const id = message.kind === 'request' ? message.id : undefined;
    const handler = handlers.get(message.method);
    let reply: Reply;
    try {
      if (!handler) throw new MethodError(METHOD_NOT_FOUND, `method ${JSON.stringify(message.method)} not found`);
      reply = await handler(message.params, { fds, peer: this.#connection.peer });
    } catch (error) {
      if (id !== undefined)
        await this.#sendError(id, error instanceof MethodError ? error.rpcCode : SERVER_ERROR, messageOf(error), error);
      return;
    }
    try {
      if (id !== undefined) await this.#writer.write(jsonrpc.success(id, reply.result), reply.fds ?? []);
    } finally {
      for (const fd of reply.fds ?? []) fd.close();
    }
  }

  async #sendError(id: RpcId, code: number, text: string, error?: unknown): Promise<void> {
    const data = error instanceof MethodError ? error.data : undefined;
    await this.#writer.write(jsonrpc.error(id, new jsonrpc.JsonRpcError(text, code, data)), []);
  }

  /** Takes a request off the list; without any, reading stops so that an idle client keeps nothing busy. */
  #settle(id: number): PendingRequest | undefined {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    if (this.#pending.size === 0) this.#reading?.abort.abort();
    return pending;
  }

  #fail(error: unknown): void {
    this.#failure ??= error;
    this.#connection.close();
    this.#reader[Symbol.dispose]();
    for (const id of [...this.#pending.keys()]) this.#settle(id)?.reject(error);
  }

  #check(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }
}

const noHandlers: Handlers = new Map();

function timedOut(method: string, timeout: number): BridgeError {
  return new BridgeError('RPC_TIMEOUT', `${method} was not answered within ${timeout} ms`);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
