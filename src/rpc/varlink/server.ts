import type { Connection, Fd, PeerCredentials } from '../../fd/fd-passing.js';
import { RpcProtocolError } from '../rpc-error.js';
import type { VarlinkMethod } from './interface.js';
import { VarlinkReader, type VarlinkLimits, type VarlinkMessage } from './message-reader.js';
import { asCall, encode, type CallMessage, type OutgoingMessage } from './message.js';
import { serviceErrors } from './service-interface.js';
import { VarlinkMethodError, type Parameters } from './varlink-error.js';

/** What came with a call besides its parameters. */
export interface VarlinkCall {
  /** Closed after the handler unless it moved them away (`fd.move()`). */
  fds: readonly Fd[];
  /** Whether the caller takes several replies. */
  more: boolean;
  /** The process at the other end when the connection was made. */
  peer: PeerCredentials;
  /** Aborted when the service ends and when nobody is there any more to read the reply. */
  signal: AbortSignal;
}

/** One reply; its descriptors, at most 253, are closed once they are sent, or when that fails. */
export interface VarlinkReply<R extends object = object> {
  parameters: R;
  fds?: readonly Fd[];
}

/**
 * Replies that announce further ones are yielded, the last is returned. Those yielded to a caller without `more` are
 * not sent.
 */
export type VarlinkReplies<R extends object = object> = AsyncGenerator<VarlinkReply<R>, VarlinkReply<R>, void>;

/** A method's implementation. A VarlinkMethodError becomes the reply. */
export type VarlinkHandler = (parameters: Parameters, call: VarlinkCall) => Promise<VarlinkReply> | VarlinkReplies;

/** What a connection is served with. */
export interface VarlinkService {
  /** by qualified name */
  handlers: ReadonlyMap<string, VarlinkHandler>;
  /** names of the interfaces */
  interfaces: readonly string[];
  /** The reply to an error that no handler meant to be one. */
  internalError(error: unknown, method: string): VarlinkMethodError;
}

/** A handler whose parameters have been checked; wrong ones are answered with InvalidParameter. */
export function implement<P extends object, R extends object>(
  method: VarlinkMethod<P, R>,
  answer: (parameters: P, call: VarlinkCall) => Promise<VarlinkReply<R>> | VarlinkReplies<R>,
): [string, VarlinkHandler] {
  return [
    method.name,
    (parameters, call) => {
      const misfit = method.misfitOfParameters(parameters);
      if (misfit) throw serviceErrors.invalidParameter(misfit.path);
      return answer(parameters as P, call);
    },
  ];
}

/**
 * Answers the calls of one connection, one after the other, until the peer closes its end. Takes ownership of
 * `connection`.
 * @throws RpcProtocolError or SocketError when the connection breaks; the signal's reason
 */
export async function serveVarlink(
  connection: Connection,
  service: VarlinkService,
  { signal, unread, ...limits }: VarlinkLimits & { signal: AbortSignal; unread?: number },
): Promise<void> {
  connection.sendTimeout = unread;
  const onAbort = (): void => connection.close();
  signal.addEventListener('abort', onAbort, { once: true });
  using reader = new VarlinkReader(connection, limits);
  let following: Promise<VarlinkMessage | undefined> | undefined;
  try {
    for (let message = await reader.next(signal); message !== undefined; message = await following) {
      // Reading ahead shows when the peer goes away while its call is under way.
      const gone = new AbortController();
      following = reader.next(signal);
      const watched = following.then(
        (next) => next === undefined && connection.peerGone && gone.abort(new Error('the caller went away')),
        (error: unknown) => gone.abort(error),
      );
      void watched;
      await new Answering(connection, service, AbortSignal.any([signal, gone.signal])).answer(message);
    }
  } finally {
    signal.removeEventListener('abort', onAbort);
    connection.close();
    const unread = await following?.catch(() => undefined);
    for (const fd of unread?.fds ?? []) fd.close();
  }
}

/** The answer to one call. */
class Answering {
  readonly #connection: Connection;
  readonly #service: VarlinkService;
  readonly #signal: AbortSignal;

  constructor(connection: Connection, service: VarlinkService, signal: AbortSignal) {
    this.#connection = connection;
    this.#service = service;
    this.#signal = signal;
  }

  async answer({ value, fds }: VarlinkMessage): Promise<void> {
    try {
      const call = asCall(value);
      if (call === undefined)
        throw new RpcProtocolError('INVALID_MESSAGE', 'the peer sent something that is no varlink call');
      const failure = await this.#run(call, fds);
      if (failure !== undefined && !call.oneway)
        await this.#send(
          {
            error: failure.error,
            ...(Object.keys(failure.parameters).length > 0 && { parameters: failure.parameters }),
          },
          [],
        );
    } finally {
      for (const fd of fds) fd.close();
    }
  }

  /** @returns the error to reply with; failing to send is thrown */
  async #run(call: CallMessage, fds: readonly Fd[]): Promise<VarlinkMethodError | undefined> {
    let sending: unknown;
    const reply = async ({ parameters, fds: attached = [] }: VarlinkReply, continues: boolean): Promise<void> => {
      try {
        if (call.oneway || (continues && !call.more)) return;
        await this.#send(
          { ...(Object.keys(parameters).length > 0 && { parameters }), ...(continues && { continues }) },
          attached,
        );
      } catch (error) {
        sending = error;
        throw error;
      } finally {
        for (const fd of attached) fd.close();
      }
    };
    try {
      const answers = this.#handler(call)(call.parameters ?? {}, {
        fds,
        more: call.more && !call.oneway,
        peer: this.#connection.peer,
        signal: this.#signal,
      });
      if (answers instanceof Promise) await reply(await answers, false);
      else await replyAll(answers, reply);
      return undefined;
    } catch (error) {
      if (sending !== undefined) throw sending;
      return error instanceof VarlinkMethodError ? error : this.#service.internalError(error, call.method);
    }
  }

  #handler(call: CallMessage): VarlinkHandler {
    const handler = this.#service.handlers.get(call.method);
    // The connection would have to be given away to whatever protocol comes next; no method here does that.
    if (call.upgrade && handler !== undefined) throw serviceErrors.methodNotImplemented(call.method);
    if (handler !== undefined) return handler;
    const name = call.method.slice(0, Math.max(0, call.method.lastIndexOf('.')));
    throw this.#service.interfaces.includes(name)
      ? serviceErrors.methodNotFound(call.method)
      : serviceErrors.interfaceNotFound(name);
  }

  async #send(message: OutgoingMessage, fds: readonly Fd[]): Promise<void> {
    await this.#connection.send(encode(message), fds);
  }
}

async function replyAll(
  answers: VarlinkReplies,
  reply: (answer: VarlinkReply, continues: boolean) => Promise<void>,
): Promise<void> {
  try {
    for (;;) {
      const { value, done } = await answers.next();
      await reply(value, !done);
      if (done) return;
    }
  } finally {
    // Where sending failed, the handler gets the chance to release what it holds.
    await answers.return({ parameters: {} });
  }
}
