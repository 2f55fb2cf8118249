import type { Abortable } from '../abortable.js';
import { fromFd, SocketError, socketpair, type Fd } from '../fd/fd-passing.js';
import { JsonRpcConnection, type RequestOptions } from '../rpc/jsonrpc/connection.js';
import type { RpcMethod } from '../rpc/jsonrpc/method.js';
import { fromTypedAnswer } from '../rpc/typed-error.js';
import { userNamespaceError } from './error.js';
import { InsideProcess } from './inside-process.js';
import type { InsideTask } from './task.js';

export interface InsideCallOptions extends Abortable {
  /** borrowed until the answer */
  fds?: readonly Fd[];
}

/** A process in the user's namespace that does what it is asked to. */
export class InsideConnection implements AsyncDisposable {
  readonly #rpc: JsonRpcConnection;
  readonly #process: InsideProcess;

  private constructor(rpc: JsonRpcConnection, process: InsideProcess) {
    this.#rpc = rpc;
    this.#process = process;
  }

  /** @throws BridgeError `USER_NAMESPACE`; the signal's reason */
  static async start(task: InsideTask, options: Abortable): Promise<InsideConnection> {
    const [ours, theirs] = socketpair();
    try {
      const process = await InsideProcess.start(task, theirs.number, options);
      return new InsideConnection(new JsonRpcConnection(fromFd(ours)), process);
    } finally {
      theirs.close();
      ours.close();
    }
  }

  /** @throws what is thrown there; BridgeError `USER_NAMESPACE` when the process ends; the signal's reason */
  async call<P, R extends object>(
    method: RpcMethod<P, R>,
    params: P,
    { fds = [], signal }: InsideCallOptions = {},
  ): Promise<R> {
    try {
      const options: RequestOptions = { fds, ...(signal && { signal }) };
      const { result, fds: received } = await this.#rpc.call(method, params, options);
      for (const fd of received) fd.close();
      return result;
    } catch (error) {
      signal?.throwIfAborted();
      if (!isEndOfPeer(error)) throw fromTypedAnswer(error);
      const said = (await this.#process.lastWords()) ?? 'the process ended';
      throw userNamespaceError(`in the user namespace: ${said}`, { cause: error });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#rpc.close();
    await this.#process[Symbol.asyncDispose]();
  }
}

/** Whether an error says no more than that there is nobody at the other end. */
export function isEndOfPeer(error: unknown): boolean {
  return error instanceof SocketError && ['PEER_GONE', 'CONNECTION_CLOSED', 'SEND_INTERRUPTED'].includes(error.code);
}
