// Which errors a client is told to try again: those that skopeo says so of.
import { getSystemErrorName } from 'node:util';
import { HttpError } from '../../http/http-error.js';
import { PROXY_MESSAGE_LIMIT } from '../../limits.js';
import { PumpFailure } from '../../fd/pipe-pump.js';
import { RegistryError } from '../../registry/registry-error.js';
import type { ProxyErrorCode } from '../../rpc/contracts/image-proxy.js';

/** An error with the words and the code that go to the client. */
export class ProxyFault extends Error {
  override name = 'ProxyFault';

  constructor(
    message: string,
    readonly errorCode: ProxyErrorCode = 'other',
  ) {
    super(message);
  }
}

const LATER: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'EINTR',
  'EAGAIN',
  'EBUSY',
  'ENETDOWN',
  'ENETUNREACH',
  'ENETRESET',
  'ECONNABORTED',
  'ECONNRESET',
  'ETIMEDOUT',
  'EHOSTDOWN',
  'EHOSTUNREACH',
]);
/** What registries say that will be the same next time. */
const FINAL: ReadonlySet<string> = new Set(['UNAUTHORIZED', 'DENIED', 'NAME_UNKNOWN', 'MANIFEST_UNKNOWN']);
const CAUSES = 16;

/** The code of an error, by what it is or what it was caused by. */
export function errorCodeOf(error: unknown): ProxyErrorCode {
  let next = error;
  for (let depth = 0; next instanceof Error && depth < CAUSES; next = next.cause, depth++) {
    if (next instanceof ProxyFault) return next.errorCode;
    if (next instanceof PumpFailure && next.ofOutput) return next.code === 'EPIPE' ? 'EPIPE' : 'other';
    if (next instanceof RegistryError) return isLater(next) ? 'retryable' : 'other';
    if (next instanceof HttpError && next.temporary) return 'retryable';
    if (LATER.has(codeOf(next))) return 'retryable';
  }
  return 'other';
}

/** What a client is told of an error: in skopeo's words where its reader has gone. */
export function messageOf(error: unknown): string {
  if (errorCodeOf(error) === 'EPIPE') return 'write |1: broken pipe';
  const message = error instanceof Error ? error.message : String(error);
  return message.length > PROXY_MESSAGE_LIMIT ? `${message.slice(0, PROXY_MESSAGE_LIMIT)}…` : message;
}

function isLater({ serverCodes, status }: RegistryError): boolean {
  if (serverCodes.length > 0) return !serverCodes.some((code) => FINAL.has(code));
  return status !== undefined && ((status >= 502 && status <= 504) || status === 429);
}

/** Of several addresses that were tried, the first one's. */
function codeOf(error: Error): string {
  const first: unknown = error instanceof AggregateError ? error.errors[0] : error;
  if (!(first instanceof Error)) return '';
  if ('code' in first && typeof first.code === 'string') return first.code;
  return 'errno' in first && typeof first.errno === 'number' && first.errno < 0 ? getSystemErrorName(first.errno) : '';
}
