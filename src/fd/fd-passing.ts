/// <reference types="node" preserve="true" />
/** Unix sockets that pass file descriptors; published as `composefs-bridge/fd-passing`. */
export { Fd } from './fd.js';
export { connect, socketpair, type ConnectOptions } from './connect.js';
export { Connection, type ConnectionOptions, type OperationOptions, type Segment } from './connection.js';
export { fromFd, listenFd } from './inherited.js';
export { listen, type Listener, type ListenOptions } from './listener.js';
export { MAX_FDS_PER_SEND, type PeerCredentials, type SocketType } from './native-socket.js';
export { SocketError, type SocketErrorCode } from './socket-error.js';
