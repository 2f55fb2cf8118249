// Codes and classes of errors, as a program sees them.
import {
  BridgeError,
  DigestMismatchError,
  FormatError,
  HttpError,
  NotFoundError,
  RegistryError,
  ProxyError,
  RemoteError,
  RpcProtocolError,
  SocketError,
  StoreFailure,
  VarlinkRemoteError,
  type ErrorCode,
  type FormatErrorCode,
  type HttpErrorCode,
  type RegistryErrorCode,
  type RpcProtocolErrorCode,
  type SocketErrorCode,
} from '../../src/index.js';
import type { Equal, Expect } from './equal.js';

export type Claims = [
  Expect<Equal<BridgeError['code'], ErrorCode>>,
  Expect<Equal<FormatError['code'], FormatErrorCode>>,
  Expect<Equal<RpcProtocolError['code'], RpcProtocolErrorCode>>,
  Expect<Equal<SocketError['code'], SocketErrorCode>>,
  Expect<Equal<HttpError['code'], HttpErrorCode>>,
  Expect<Equal<RegistryError['code'], RegistryErrorCode>>,
  Expect<Equal<NotFoundError['code'], 'NOT_FOUND'>>,
  Expect<Equal<DigestMismatchError['code'], 'DIGEST_MISMATCH'>>,
  Expect<Equal<ProxyError['code'], 'PROXY_ERROR'>>,
  Expect<Equal<RemoteError['code'], 'REMOTE_ERROR'>>,
  Expect<Equal<VarlinkRemoteError['code'], 'VARLINK_ERROR'>>,
  Expect<Equal<string extends StoreFailure['code'] ? true : false, false>>,
];

export function change(error: BridgeError): void {
  // @ts-expect-error: codes are read
  error.code = 'STORE_BUSY';
}

export function advice(error: unknown): string {
  if (error instanceof DigestMismatchError) return `${error.expected} is ${error.actual}`;
  if (error instanceof HttpError) {
    const temporary: boolean = error.temporary;
    // @ts-expect-error: a registry's code is not one of a connection
    if (error.code === 'UNAUTHORIZED') return 'log in';
    return temporary ? 'again' : error.host;
  }
  if (error instanceof FormatError) {
    // @ts-expect-error: it is DUMPFILE
    if (error.code === 'DUMP_FILE') return 'a dump file';
    // @ts-expect-error: nothing that breaks its format is merely not there
    if (error.code === 'NOT_FOUND') return 'nowhere';
    return error.code === 'DUMPFILE' ? 'a dump file' : 'broken';
  }
  if (error instanceof BridgeError) {
    // @ts-expect-error: one letter is missing
    if (error.code === 'STORE_BUZY') return 'wait';
    switch (error.code) {
      case 'STORE_BUSY':
        return 'wait';
      // @ts-expect-error: there is no such errno
      case 'ENOSPACE':
        return 'make room';
      case 'ENOSPC':
        return error.place.layer ?? 'somewhere';
      default:
        return error.reason;
    }
  }
  return String(error);
}

// @ts-expect-error: an error of one's own has one of the codes, too
export const invented = new BridgeError('SOMETHING_ELSE', 'it is odd');
// @ts-expect-error: what has another class has its code
export const misplaced = new FormatError('STORE_BUSY', 'it is locked');
