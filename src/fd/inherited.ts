import { Connection, type ConnectionOptions } from './connection.js';
import type { Fd } from './fd.js';
import { Listener } from './listener.js';
import { sockets, type SocketType } from './native-socket.js';
import { SocketError } from './socket-error.js';

/**
 * A connection over an inherited descriptor (standard input, one end of `socketpair`), whose ownership is taken.
 * @throws SocketError NOT_A_SOCKET unless it is a connected Unix stream or seqpacket socket; the caller then still owns
 *   it
 * @example
 * ```ts
 * import { Fd, fromFd } from 'composefs-bridge/fd-passing';
 *
 * // Started by systemd or inetd, with a connection as standard input.
 * using connection = fromFd(new Fd(0));
 * await connection.send(Buffer.from('hello\n'));
 * ```
 */
export function fromFd(socket: Fd, options: ConnectionOptions = {}): Connection {
  const type = socketType(socket, false);
  return new Connection(socket.move(), type, options);
}

/**
 * Listens on an inherited socket (systemd's LISTEN_FDS), whose ownership is taken.
 * @throws SocketError NOT_A_SOCKET unless it is a listening Unix stream or seqpacket socket; the caller then still owns
 *   it
 * @example
 * ```ts
 * import { Fd, listenFd } from 'composefs-bridge/fd-passing';
 *
 * // Started by systemd, whose first socket is descriptor 3.
 * using listener = listenFd(new Fd(3));
 * for await (const connection of listener) {
 *   await connection.send(Buffer.from('hello\n'));
 *   connection.close();
 *   break;
 * }
 * ```
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
