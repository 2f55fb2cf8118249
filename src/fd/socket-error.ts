import type { SocketErrorCode } from '../error-codes.js';
import { BridgeError } from '../errors.js';

/** What goes wrong between two ends of a socket; `cause` holds the system's error where there is one. */
export class SocketError extends BridgeError {
  declare readonly code: SocketErrorCode;

  constructor(code: SocketErrorCode, message: string, options: ErrorOptions = {}) {
    super(code, message, options);
  }
}
