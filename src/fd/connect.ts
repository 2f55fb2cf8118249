import { withSocketAddress } from './address.js';
import { Connection, type ConnectionOptions } from './connection.js';
import { Fd } from './fd.js';
import { sockets, type SocketType } from './native-socket.js';
import { pause } from './readiness.js';
import { SocketError } from './socket-error.js';

export interface ConnectOptions extends ConnectionOptions {
  type?: SocketType;
}

const FIRST_PAUSE = 2;
const LONGEST_PAUSE = 100;

/**
 * Connects to the Unix socket at `path`, of any length. While the listener's queue is full it tries again, until
 * `signal` aborts or the idle timeout has passed.
 * @throws SocketError IDLE_TIMEOUT; the system's error (ENOENT, ECONNREFUSED, EPROTOTYPE, EACCES, …) otherwise
 * @example
 * ```ts
 * import { connect } from 'composefs-bridge/fd-passing';
 *
 * using connection = await connect('/run/store.sock', { idleTimeout: 10_000 });
 * console.log(connection.peer.uid === process.getuid?.()); // true
 * ```
 */
export async function connect(path: string, options: ConnectOptions = {}): Promise<Connection> {
  const { type = 'stream', signal, idleTimeout = Infinity } = options;
  signal?.throwIfAborted();
  const socket = new Fd(sockets.socket(type));
  try {
    let waited = 0;
    for (let delay = FIRST_PAUSE; !tryConnect(socket, path); delay = Math.min(delay * 2, LONGEST_PAUSE)) {
      if (waited >= idleTimeout)
        throw new SocketError('IDLE_TIMEOUT', `${path} accepted no connection for ${idleTimeout} ms`);
      await pause(delay, signal);
      waited += delay;
    }
  } catch (error) {
    socket.close();
    throw error;
  }
  return new Connection(socket, type, options);
}

/**
 * Two connected ends, for `fromFd` and for handing to a child process. Close the child's copy once it runs.
 * @example
 * ```ts
 * import { fromFd, socketpair } from 'composefs-bridge/fd-passing';
 *
 * const [ours, theirs] = socketpair();
 * using one = fromFd(ours);
 * using other = fromFd(theirs);
 * await one.send(Buffer.from('hello'));
 * console.log((await other.receive())?.bytes.toString()); // hello
 * ```
 */
export function socketpair(type: SocketType = 'stream'): [Fd, Fd] {
  const [one, other] = sockets.socketpair(type);
  return [new Fd(one), new Fd(other)];
}

function tryConnect(socket: Fd, path: string): boolean {
  return withSocketAddress(path, (address) => sockets.socketConnect(socket.number, address));
}
