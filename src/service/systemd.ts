import { printable } from '../bytes.js';
import { setTimeout as sleep } from 'node:timers/promises';
import { BridgeError } from '../errors.js';
import { Fd, fromFd, listenFd, SocketError, type Connection, type Listener } from '../fd/fd-passing.js';
import { withSocketAddress } from '../fd/address.js';
import { sockets } from '../fd/native-socket.js';
import { passedSockets } from './passed-sockets.js';

/** The first descriptor that systemd passes; sd_listen_fds(3). */
const FIRST_FD = 3;

/** How long systemd may be busy with other messages, in milliseconds. */
const LONGEST_NOTIFICATION = 5000;
const BETWEEN_ATTEMPTS = 20;

/**
 * What this process was started with: a socket to accept connections on, or (inetd's way, and varlinkctl's `exec:`) one
 * connection.
 */
export type InheritedSocket =
  | { kind: 'listener'; listener: Listener }
  | { kind: 'connection'; listener?: undefined; connection: Connection };

/**
 * The socket of systemd's socket activation, when this process was started with one. The variables are removed from
 * `env`, so that children do not take the socket for theirs.
 * @throws SocketError NOT_A_SOCKET; BridgeError `LISTEN_FDS` when there are several
 */
export function inheritedSocket(env: NodeJS.ProcessEnv, options: { signal: AbortSignal }): InheritedSocket | undefined {
  const count = passedSockets(env);
  if (count === undefined) return undefined;
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
 * Tells systemd about a state, such as `READY=1`, when it wants to know (NOTIFY_SOCKET); sd_notify(3). That it cannot
 * be told is said on standard error and is not a failure.
 */
export async function notifySystemd(state: string, env: NodeJS.ProcessEnv): Promise<void> {
  const path = env['NOTIFY_SOCKET'];
  if (path === undefined || path === '') return;
  try {
    await sendDatagram(path, Buffer.from(state));
  } catch (error) {
    process.stderr.write(
      `systemd could not be told ${state}: ` +
        `${printable(error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error))}\n`,
    );
  }
}

async function sendDatagram(path: string, message: Buffer): Promise<void> {
  if (!/^[@/]/.test(path)) throw new BridgeError('NOTIFY_SOCKET', `NOTIFY_SOCKET is no Unix socket: ${path}`);
  const send = (): boolean => withSocketAddress(path, (address) => sockets.datagram(address, message));
  for (const deadline = performance.now() + LONGEST_NOTIFICATION; !send(); await sleep(BETWEEN_ATTEMPTS))
    if (performance.now() > deadline) throw new BridgeError('NOTIFY_SOCKET', `${path} takes no messages`);
}
