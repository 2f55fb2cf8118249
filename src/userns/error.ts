import { BridgeError, type Place } from '../errors.js';

/** Why there is no user namespace for the user's store, and what to do about it. */
export function userNamespaceError(message: string, options: ErrorOptions & { place?: Place } = {}): BridgeError {
  return new BridgeError('USER_NAMESPACE', message, options);
}
