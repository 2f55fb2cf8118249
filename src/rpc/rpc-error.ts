import { BridgeError, FormatError, type Place } from '../errors.js';

export type RpcProtocolErrorCode =
  /** The bytes are not one JSON object after the other. */
  | 'FRAMING_ERROR'
  /** Other bytes, or the end of data, where descriptors were due. */
  | 'MISMATCHED_COUNT'
  /** The member `fds` is not a count this end accepts. */
  | 'INVALID_FD_COUNT'
  /** More descriptors arrived than any message may have. */
  | 'TOO_MANY_FDS'
  | 'MESSAGE_TOO_LARGE'
  /** A JSON object that is no message of the protocol, or an answer to nothing. */
  | 'INVALID_MESSAGE'
  /** The data ended inside a message. */
  | 'UNEXPECTED_END'
  /** An answer that does not have the members or descriptors its method promises. */
  | 'INVALID_RESULT';

/** The peer broke the protocol; `place.offset` counts the bytes received on the connection. */
export class RpcProtocolError extends FormatError {
  constructor(code: RpcProtocolErrorCode, message: string, options: ErrorOptions & { place?: Place } = {}) {
    super(code, message, options);
  }
}

/** Error numbers of JSON-RPC, and the one servers use for everything else. */
export const INVALID_REQUEST = -32600;
export const METHOD_NOT_FOUND = -32601;
export const INVALID_PARAMS = -32602;
export const SERVER_ERROR = -32000;

/** The peer answered a request with an error; `rpcCode` is its number (METHOD_NOT_FOUND, …). */
export class RemoteError extends BridgeError {
  readonly rpcCode: number;
  readonly data: unknown;

  constructor(method: string, rpcCode: number, message: string, data?: unknown) {
    super('REMOTE_ERROR', `${method}: ${message} (${rpcCode})`);
    this.rpcCode = rpcCode;
    this.data = data;
  }
}

/** Thrown by a method's handler to answer with this error number; any other error answers SERVER_ERROR. */
export class MethodError extends BridgeError {
  readonly rpcCode: number;
  readonly data: unknown;

  constructor(rpcCode: number, message: string, data?: unknown) {
    super('METHOD_ERROR', message);
    this.rpcCode = rpcCode;
    this.data = data;
  }
}
