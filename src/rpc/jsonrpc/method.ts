import type * as z from 'zod';
import type { Fd, PeerCredentials } from '../../fd/fd-passing.js';
import { INVALID_PARAMS, MethodError } from '../rpc-error.js';

/** One method of an interface: its name and the shapes of what both ends send, checked on arrival. */
export interface RpcMethod<P = unknown, R extends object = object> {
  name: string;
  params: z.ZodType<P>;
  result: z.ZodType<R>;
}

/** What came with a request besides its parameters. */
export interface RequestContext {
  /** Closed after the handler unless it moved them away (`fd.move()`). */
  fds: readonly Fd[];
  /** The process at the other end when the connection was made. */
  peer: PeerCredentials;
}

/** A handler's reply; the connection closes `fds` once they are sent, or when that fails. */
export interface Reply<R extends object = object> {
  result: R;
  fds?: readonly Fd[];
}

/** Answers one request. A MethodError becomes its error number, any other error SERVER_ERROR. */
export type Handler = (params: unknown, context: RequestContext) => Promise<Reply>;

/** Handlers by method name. */
export type Handlers = ReadonlyMap<string, Handler>;

/** A handler whose parameters have been checked; wrong ones are answered with INVALID_PARAMS. */
export function implement<P, R extends object>(
  method: RpcMethod<P, R>,
  answer: (params: P, context: RequestContext) => Promise<Reply<R>>,
): [string, Handler] {
  return [
    method.name,
    async (params, context) => {
      const checked = method.params.safeParse(params ?? {});
      if (!checked.success) {
        const { path, message } = checked.error.issues[0]!;
        throw new MethodError(INVALID_PARAMS, `params${path.map((key) => `.${String(key)}`).join('')}: ${message}`);
      }
      return answer(checked.data, context);
    },
  ];
}
