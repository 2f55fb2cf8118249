import { printable } from '../bytes.js';
import type { HttpErrorCode } from '../error-codes.js';
import { BridgeError } from '../errors.js';

/**
 * A request that got no answer, or a broken one. An answer with a status that says no is not an error at this level.
 */
export class HttpError extends BridgeError {
  declare readonly code: HttpErrorCode;
  /** with port, if it is not the scheme's */
  readonly host: string;
  /** Whether the same request may well succeed a little later. */
  readonly temporary: boolean;

  constructor(code: HttpErrorCode, url: URL, reason: string, options: ErrorOptions & { temporary?: boolean } = {}) {
    super(code, `${showUrl(url)}: ${reason}`, options);
    this.host = url.host;
    this.temporary = options.temporary ?? false;
  }
}

/** Values of these query parameters are not secrets and tell what was asked for. */
const SHOWN_PARAMETERS: ReadonlySet<string> = new Set([
  'digest',
  'mount',
  'from',
  'n',
  'last',
  'service',
  'scope',
  'artifactType',
  'ns',
]);

/**
 * A URL for a message. Passwords go, and the values of parameters that are not known: those of storage services are
 * signatures that open the door to whoever has them.
 */
export function showUrl(url: URL): string {
  const parameters = [...url.searchParams].map(
    ([name, value]) => `${printable(name)}=${SHOWN_PARAMETERS.has(name) ? printable(value) : '…'}`,
  );
  return `${url.protocol}//${url.host}${url.pathname}${parameters.length > 0 ? `?${parameters.join('&')}` : ''}`;
}

/** A text that may be a URL, as it was given, but for a password in it. */
export function withoutPassword(text: string): string {
  return text.replace(/^([a-z][a-z0-9+.-]*:\/\/)[^/?#]*@/i, '$1');
}

const TLS_ERROR =
  /^(?:CERT_|ERR_TLS_|ERR_SSL_|ERR_OSSL_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_|HOSTNAME_MISMATCH|INVALID_CA|INVALID_PURPOSE|EPROTO)/;
const CUT = new Set([
  'UND_ERR_SOCKET',
  'ECONNRESET',
  'EPIPE',
  'ECONNABORTED',
  'UND_ERR_RES_CONTENT_LENGTH_MISMATCH',
  'UND_ERR_CLOSED',
  'UND_ERR_DESTROYED',
  'UND_ERR_INFO',
]);
const IDLE = new Set(['UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT']);
const LATER = new Set(['UND_ERR_CONNECT_TIMEOUT', 'ETIMEDOUT', 'EAI_AGAIN']);

/** What went wrong below: the error of a socket, of TLS, or of the HTTP parser, in this package's words. */
export function describeFailure(url: URL, error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof BridgeError) return error;
  const code = 'code' in error ? String(error.code) : '';
  const options = { cause: error };
  if (IDLE.has(code))
    return new HttpError('HTTP_IDLE', url, 'the server says nothing any more', { ...options, temporary: true });
  // Errors of the connection come wrapped when all addresses of a host were tried.
  if (TLS_ERROR.test(code))
    return new HttpError('HTTP_TLS', url, `no encrypted connection: ${reasonOf(error)}`, options);
  if (CUT.has(code) || error.message === 'terminated')
    return new HttpError('HTTP_CUT', url, `the connection broke off: ${reasonOf(error)}`, {
      ...options,
      temporary: true,
    });
  if (error.name === 'HTTPParserError') {
    // What a connection that is cut inside a chunk's length looks like to the parser.
    const cut = code === 'HPE_INVALID_EOF_STATE';
    return new HttpError(cut ? 'HTTP_CUT' : 'HTTP_PROTOCOL', url, `the answer is not HTTP: ${reasonOf(error)}`, {
      ...options,
      temporary: cut,
    });
  }
  if (code.startsWith('UND_ERR_HEADERS_OVERFLOW'))
    return new HttpError('HTTP_PROTOCOL', url, 'the headers of the answer are too long', options);
  return new HttpError('HTTP_CONNECT', url, `cannot be reached: ${reasonOf(error)}`, {
    ...options,
    temporary: LATER.has(code),
  });
}

function reasonOf(error: Error): string {
  const inner =
    error instanceof AggregateError
      ? (error.errors as unknown[]).map((one) => (one instanceof Error ? one.message : String(one))).join(', ')
      : '';
  // OpenSSL's own lines have numbers and places in its source around what is wrong.
  const ssl = /:SSL routines:[^:]*:([^:]+):/.exec(error.message)?.[1];
  return printable(ssl ?? (error.message || inner || error.name));
}
