// Errors of this package, on their way from one of its processes to another.
import * as z from 'zod';
import type { ErrorCode, FormatErrorCode } from '../error-codes.js';
import { BridgeError, DigestMismatchError, FormatError, NotFoundError, systemCode } from '../errors.js';
import type { Handler, Handlers } from './jsonrpc/method.js';
import { MethodError, RemoteError, SERVER_ERROR } from './rpc-error.js';

const schema = z.object({
  kind: z.enum(['format', 'digest', 'not-found', 'other']),
  code: z.string(),
  reason: z.string(),
  place: z.object({
    layer: z.string().optional(),
    entry: z.string().optional(),
    field: z.string().optional(),
    offset: z.number().optional(),
  }),
  digests: z.object({ expected: z.string(), actual: z.string() }).optional(),
});

/** Handlers whose errors the other end gets as they are. */
export function typedHandlers(handlers: readonly (readonly [string, Handler])[]): Handlers {
  return new Map(
    handlers.map(([name, handler]) => [
      name,
      async (params, context) => {
        try {
          return await handler(params, context);
        } catch (error) {
          throw toTypedAnswer(error);
        }
      },
    ]),
  );
}

/** The error for an answer, with all that makes it what it is. Anything else than errors of this package stays itself. */
function toTypedAnswer(error: unknown): unknown {
  const data = dataOf(error);
  return data === undefined ? error : new MethodError(SERVER_ERROR, data.reason, data);
}

/** The error that such an answer was made of; any other error stays itself. */
export function fromTypedAnswer(error: unknown): unknown {
  if (!(error instanceof RemoteError)) return error;
  const parsed = schema.safeParse(error.data);
  if (!parsed.success) return error;
  const { kind, code, reason, digests, ...rest } = parsed.data;
  const place = Object.fromEntries(Object.entries(rest.place).filter(([, value]) => value !== undefined));
  switch (kind) {
    case 'format':
      return new FormatError(code as FormatErrorCode, reason, { place });
    case 'not-found':
      return new NotFoundError(reason, { place });
    case 'digest': {
      const { expected = '', actual = '' } = digests ?? {};
      return new DigestMismatchError(reason, expected, actual, { place });
    }
    default:
      return new BridgeError(code as ErrorCode, reason, { place });
  }
}

function dataOf(error: unknown): z.input<typeof schema> | undefined {
  if (error instanceof DigestMismatchError) {
    const { code, place, expected, actual } = error;
    const reason = error.reason.slice(0, -`: expected ${expected}, got ${actual}`.length);
    return { kind: 'digest', code, reason, place, digests: { expected, actual } };
  }
  if (error instanceof BridgeError) {
    const kind = error instanceof FormatError ? 'format' : error instanceof NotFoundError ? 'not-found' : 'other';
    return { kind, code: error.code, reason: error.reason, place: error.place };
  }
  const code = systemCode(error);
  return code === undefined ? undefined : { kind: 'other', code, reason: (error as Error).message, place: {} };
}
