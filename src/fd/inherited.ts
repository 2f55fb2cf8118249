import { Connection, type ConnectionOptions } from './connection.js';
import type { Fd } from './fd.js';
import { Listener } from './listener.js';
import { sockets, type SocketType } from './native-socket.js';
import { SocketError } from './socket-error.js';

/**
 * A connection over an inherited descriptor (standard input, one end of `socketpair`), whose ownership is taken.
 * @throws SocketError NOT_A_SOCKET unless it is a connected Unix stream or seqpacket socket; the caller then still owns it
 */
export function fromFd(socket: Fd, options: ConnectionOptions = {}): Connection {
  const type = socketType(socket, false);
  return new Connection(socket.move(), type, options);
}

/**
 * Listens on an inherited socket (systemd's LISTEN_FDS), whose ownership is taken.
 * @throws SocketError NOT_A_SOCKET unless it is a listening Unix stream or seqpacket socket; the caller then still owns it
 */
export function listenFd(socket: Fd, options: ConnectionOptions = {}): Listener {
  const type = socketType(socket, true);
  sockets.socketNonBlocking(socket.number);
  return new Listener(socket.move(), type, options, () => {});
}

function socketType(socket: Fd, mustListen: boolean): SocketType {
  const wanted = mustListen ? 'a listening Unix socket' : 'a connected Unix stream or seqpacket socket';
  try {
    const [unix, type, listening] = sockets.socketFacts(socket.number);
    if (unix && type !== '' && listening === mustListen) return type;
  } catch (cause) {
    throw new SocketError('NOT_A_SOCKET', `descriptor ${socket.number} is not ${wanted}`, { cause });
  }
  throw new SocketError('NOT_A_SOCKET', `descriptor ${socket.number} is not ${wanted}`);
}
