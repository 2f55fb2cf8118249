import type { Abortable } from '../../abortable.js';
import { BridgeError } from '../../errors.js';
import { SocketError, type Connection, type Fd } from '../../fd/fd-passing.js';
import { RpcProtocolError } from '../rpc-error.js';
import type { VarlinkMethod } from './interface.js';
import { VarlinkReader, type VarlinkLimits } from './message-reader.js';
import { asReply, encode, type OutgoingMessage } from './message.js';
import { VarlinkRemoteError, type Parameters } from './varlink-error.js';

/** The signal gives the call up with its reason, and closes the connection: varlink cannot take a call back. */
export interface VarlinkCallOptions extends Abortable {
  /** Descriptors to send along, at most 253; borrowed until they are sent, which is before the first reply. */
  fds?: readonly Fd[];
  /** Milliseconds to wait for a reply, each one when there are several. Default: forever. */
  silenceLimit?: number | undefined;
}

/** A reply as it arrived. The caller owns its descriptors. */
export interface ReceivedVarlinkReply<R> {
  parameters: R;
  fds: Fd[];
}

/**
 * The calling end of a varlink connection. Calls may be made without waiting for the replies of earlier ones; the peer
 * answers them in order. (zlink 0.7 hands a pipelined call's descriptors to the wrong one: have one call out at a time
 * with Rust servers.) Everything but an error reply ends the connection and fails the calls that wait on it.
 */
export class VarlinkConnection implements Disposable {
  readonly #connection: Connection;
  readonly #reader: VarlinkReader;
  /** Calls whose replies are not complete. */
  #waiting = 0;
  /** Settles when the replies of all calls before have been read. */
  #turn: Promise<void> = Promise.resolve();
  #failure: unknown;

  /** Takes ownership of `connection`, which must be a stream. */
  constructor(connection: Connection, limits: VarlinkLimits = {}) {
    if (connection.type !== 'stream') throw new TypeError('varlink needs a stream connection');
    this.#connection = connection;
    this.#reader = new VarlinkReader(connection, limits);
  }

  get closed(): boolean {
    return this.#connection.closed;
  }

  /**
   * Calls a method that replies once.
   * @throws VarlinkRemoteError when the peer answers with an error; RpcProtocolError (INVALID_RESULT for a reply that
   *   does not
   * fit the interface definition, INVALID_MESSAGE for one reply of several), SocketError; BridgeError `RPC_TIMEOUT`;
   * the signal's reason
   */
  async call<P extends object, R extends object>(
    method: VarlinkMethod<P, R>,
    parameters: P,
    options: VarlinkCallOptions = {},
  ): Promise<ReceivedVarlinkReply<R>> {
    const replies = this.#replies(method, callOf(method, parameters), options);
    const { value, done } = await replies.next();
    if (done) throw new Error('a call ended without a reply');
    // Ends the generator, which is behind its last reply already unless more is announced.
    await replies.return();
    return value;
  }

  /**
   * Calls a method that may reply several times. The call is made with the first step of the iteration; leaving the
   * loop before the last reply closes the connection. How many replies are too many is for the caller to judge.
   * @throws as `call`
   */
  callMore<P extends object, R extends object>(
    method: VarlinkMethod<P, R>,
    parameters: P,
    options: VarlinkCallOptions = {},
  ): AsyncGenerator<ReceivedVarlinkReply<R>, void, void> {
    return this.#replies(method, { ...callOf(method, parameters), more: true }, options);
  }

  /** Makes a call that is not answered; resolves when the kernel has taken it. */
  async callOneway<P extends object>(
    method: VarlinkMethod<P, object>,
    parameters: P,
    { fds = [], signal }: VarlinkCallOptions = {},
  ): Promise<void> {
    this.#check();
    await this.#connection.send(encode({ ...callOf(method, parameters), oneway: true }), fds, { signal });
  }

  async *#replies<P extends object, R extends object>(
    method: VarlinkMethod<P, R>,
    message: OutgoingMessage,
    { fds = [], signal, silenceLimit }: VarlinkCallOptions,
  ): AsyncGenerator<ReceivedVarlinkReply<R>, void, void> {
    signal?.throwIfAborted();
    this.#check();
    if (this.#waiting === 0) this.#expectSilence();
    const before = this.#turn;
    let finish!: () => void;
    this.#turn = new Promise((resolve) => (finish = resolve));
    this.#waiting++;
    const onAbort = (): void => this.#fail(signal?.reason);
    signal?.addEventListener('abort', onAbort, { once: true });
    let last = false;
    try {
      const sent = this.#connection.send(encode(message), fds);
      sent.catch((error: unknown) => this.#fail(error));
      await before;
      this.#check();
      while (!last) {
        const { reply, fds: received } = await this.#next(method.name, silenceLimit);
        await sent;
        if (reply.error !== undefined) {
          last = true;
          closeAll(received);
          throw new VarlinkRemoteError(method.name, reply.error, reply.parameters);
        }
        last = !reply.continues;
        yield { parameters: this.#checked(method, message, reply, received), fds: received };
      }
    } catch (error) {
      if (!last || !(error instanceof VarlinkRemoteError)) this.#fail(error);
      throw this.#failure ?? error;
    } finally {
      signal?.removeEventListener('abort', onAbort);
      this.#waiting--;
      if (!last)
        this.#fail(
          new SocketError('CONNECTION_CLOSED', `the call of ${method.name} was given up before its last reply`),
        );
      finish();
    }
  }

  async #next(
    name: string,
    silenceLimit: number | undefined,
  ): Promise<{ reply: NonNullable<ReturnType<typeof asReply>>; fds: Fd[] }> {
    const silence = new AbortController();
    const timer =
      silenceLimit === undefined
        ? undefined
        : setTimeout(
            () => silence.abort(new BridgeError('RPC_TIMEOUT', `${name} was not answered within ${silenceLimit} ms`)),
            silenceLimit,
          );
    try {
      const message = await this.#reader.next(silence.signal);
      if (message === undefined)
        throw new SocketError('PEER_GONE', `the peer closed the connection instead of answering ${name}`);
      const reply = asReply(message.value);
      if (reply !== undefined) return { reply, fds: message.fds };
      closeAll(message.fds);
      throw new RpcProtocolError('INVALID_MESSAGE', `the answer to ${name} is no varlink reply`);
    } finally {
      clearTimeout(timer);
    }
  }

  #checked<R extends object>(
    method: VarlinkMethod<object, R>,
    call: OutgoingMessage,
    { parameters, continues }: { parameters: Parameters; continues: boolean },
    fds: readonly Fd[],
  ): R {
    const misfit = method.misfitOfReply(parameters);
    if (misfit === undefined && (call.more || !continues)) return parameters as R;
    closeAll(fds);
    if (misfit === undefined)
      throw new RpcProtocolError(
        'INVALID_MESSAGE',
        `${method.name} announces further replies, which were not asked for`,
      );
    throw new RpcProtocolError(
      'INVALID_RESULT',
      `the reply to ${method.name} has ${misfit.problem}${misfit.path === '' ? '' : ` in ${misfit.path}`}`,
    );
  }

  /** A peer that replies twice to one call would have the second taken for the reply to the next one. */
  #expectSilence(): void {
    const rest = this.#connection.receiveNow();
    for (const fd of rest?.fds ?? []) fd.close();
    if (!this.#reader.begun && rest === undefined) return;
    const error = new RpcProtocolError('INVALID_MESSAGE', 'the peer sent something that no call asked for');
    this.#fail(error);
    throw error;
  }

  /** Fails what waits with CONNECTION_CLOSED and closes the socket. Harmless when repeated. */
  close(): void {
    this.#fail(new SocketError('CONNECTION_CLOSED', 'the connection was closed'));
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #fail(error: unknown): void {
    this.#failure ??= error;
    this.#connection.close();
    this.#reader[Symbol.dispose]();
  }

  #check(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }
}

function callOf<P extends object>({ name, takes }: VarlinkMethod<P, object>, parameters: P): OutgoingMessage {
  return takes ? { method: name, parameters } : { method: name };
}

function closeAll(fds: readonly Fd[]): void {
  for (const fd of fds) fd.close();
}
