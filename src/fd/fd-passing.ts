/// <reference types="node" preserve="true" />
/** Unix sockets that pass file descriptors; published as `composefs-bridge/fd-passing`. */
export type { Abortable } from '../abortable.js';
export { Fd } from './fd.js';
export type { FdNumber, FileStat } from '../native.js';
export { BridgeError, type Place } from '../errors.js';
export { connect, socketpair, type ConnectOptions } from './connect.js';
export { Connection, type ConnectionOptions, type OperationOptions, type Segment } from './connection.js';
export { fromFd, listenFd } from './inherited.js';
export { listen, type Listener, type ListenOptions } from './listener.js';
export { MAX_FDS_PER_SEND, type PeerCredentials, type SocketType } from './native-socket.js';
export { SocketError } from './socket-error.js';
export type {
  ErrorCode,
  FormatErrorCode,
  HttpErrorCode,
  NativeErrorCode,
  RegistryErrorCode,
  RpcProtocolErrorCode,
  SocketErrorCode,
  StateErrorCode,
  SystemErrorCode,
} from '../error-codes.js';
