import { BridgeError } from '../errors.js';
import { Fd, fromFd, listenFd, SocketError, type Connection, type Listener } from '../fd/fd-passing.js';

/** The first descriptor that systemd passes; sd_listen_fds(3). */
const FIRST_FD = 3;

/** What this process was started with: a socket to accept connections on, or (inetd's way, and varlinkctl's `exec:`) one connection. */
export type InheritedSocket = { kind: 'listener'; listener: Listener } | { kind: 'connection'; listener?: undefined; connection: Connection };

/**
 * The socket of systemd's socket activation, when this process was started with one. The variables are removed from `env`, so that
 * children do not take the socket for theirs.
 * @throws SocketError NOT_A_SOCKET; BridgeError `LISTEN_FDS` when there are several
 */
export function inheritedSocket(env: NodeJS.ProcessEnv, options: { signal: AbortSignal }): InheritedSocket | undefined {
  const { LISTEN_PID: pid, LISTEN_FDS: count } = env;
  if (count === undefined || pid !== String(process.pid)) return undefined;
  delete env['LISTEN_PID'];
  delete env['LISTEN_FDS'];
  delete env['LISTEN_FDNAMES'];
  if (count !== '1') throw new BridgeError('LISTEN_FDS', `systemd passed ${count} sockets, exactly one is expected`);
  const socket = new Fd(FIRST_FD);
  try {
    return { kind: 'listener', listener: listenFd(socket, options) };
  } catch (error) {
    if (!(error instanceof SocketError) || error.code !== 'NOT_A_SOCKET') throw error;
    return { kind: 'connection', connection: fromFd(socket, options) };
  }
}

/**
 * Tells systemd about a state, such as `READY=1`, when it wants to know (NOTIFY_SOCKET); sd_notify(3). That it cannot be told is said
 * on standard error and is no failure.
 */
export async function notifySystemd(state: string, env: NodeJS.ProcessEnv): Promise<void> {
  const path = env['NOTIFY_SOCKET'];
  if (path === undefined || path === '') return;
  try {
    const { createSocket } = (await import('unix-dgram')).default;
    // A name that starts with @ is in the abstract namespace, which the kernel spells with a NUL.
    const address = path.startsWith('@') ? `\0${path.slice(1)}` : path;
    const message = Buffer.from(state);
    await new Promise<void>((resolve, reject) => {
      const socket = createSocket('unix_dgram');
      socket.send(message, 0, message.length, address, (error) => {
        socket.close();
        if (error) reject(error);
        else resolve();
      });
    });
  } catch (error) {
    process.stderr.write(`systemd could not be told ${state}: ${error instanceof Error ? error.message.split('\n')[0] : String(error)}\n`);
  }
}
