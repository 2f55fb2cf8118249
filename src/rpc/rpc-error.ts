import type { RpcProtocolErrorCode } from '../error-codes.js';
import { BridgeError, FormatError, type Place } from '../errors.js';

/** The peer broke the protocol; `place.offset` counts the bytes received on the connection. */
export class RpcProtocolError extends FormatError {
  declare readonly code: RpcProtocolErrorCode;

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
  declare readonly code: 'REMOTE_ERROR';
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
  declare readonly code: 'METHOD_ERROR';
  readonly rpcCode: number;
  readonly data: unknown;

  constructor(rpcCode: number, message: string, data?: unknown) {
    super('METHOD_ERROR', message);
    this.rpcCode = rpcCode;
    this.data = data;
  }
}
