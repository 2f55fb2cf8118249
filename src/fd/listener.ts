import { setMaxListeners } from 'node:events';
import { chmodSync, constants } from 'node:fs';
import { basename, dirname } from 'node:path';
import { bytesOf, type ByteString } from '../bytes.js';
import { files, type FdNumber, type FileStat } from '../native.js';
import { withSocketAddress } from './address.js';
import { Connection, type ConnectionOptions, type OperationOptions } from './connection.js';
import { Fd, isErrno, openPath } from './fd.js';
import { READ, sockets, WOULD_BLOCK, type SocketType } from './native-socket.js';
import { pause, Readiness } from './readiness.js';
import { SocketError } from './socket-error.js';

export interface ListenOptions extends ConnectionOptions {
  type?: SocketType;
  /** Permission bits of the socket file. Default: 0o600, its owner only. */
  mode?: number;
  /** Connections the kernel queues. Default: 128. */
  backlog?: number;
}

/** Pause after a connection could not be accepted: out of descriptors or memory, say. It stays queued meanwhile. */
const FAILED_PAUSE = 100;
/** What only a listener that is none any more brings; anything else comes from one connection, or passes. */
const BROKEN = ['EBADF', 'EINVAL', 'ENOTSOCK', 'EOPNOTSUPP', 'EFAULT'] as const;
const LOCK_PAUSE = 10;
const LOCK_ATTEMPTS = 200;

/** A listening Unix socket: `for await (const connection of listener)`. Closing removes the socket file it made. */
export class Listener implements Disposable {
  readonly type: SocketType;
  readonly #socket: Fd;
  readonly #readiness: Readiness;
  readonly #options: ConnectionOptions;
  readonly #removeFile: () => void;
  #ended: unknown;

  /** Takes ownership of `socket`, which listens. Use `listen` or `listenFd` to get one. */
  constructor(socket: Fd, type: SocketType, options: ConnectionOptions, removeFile: () => void) {
    this.#socket = socket;
    this.type = type;
    this.#removeFile = removeFile;
    this.#readiness = new Readiness(socket.number);
    const { signal } = options;
    // One signal for any number of connections, which then do not add to the listeners of the caller's.
    const connections = new AbortController();
    setMaxListeners(0, connections.signal);
    this.#options = signal ? { ...options, signal: connections.signal } : options;
    const onAbort = (): void => {
      this.#end(signal?.reason);
      connections.abort(signal?.reason);
    };
    if (signal?.aborted) onAbort();
    else signal?.addEventListener('abort', onAbort, { once: true });
  }

  /** @internal The number of its descriptor, for a child process that accepts in its place; stays the listener's. */
  get number(): FdNumber {
    return this.#socket.number;
  }

  /**
   * The next connection; it gets the listener's idle timeout, packet limit and signal.
   * @throws SocketError CONNECTION_CLOSED once the listener is closed
   */
  async accept(options: OperationOptions = {}): Promise<Connection> {
    for (;;) {
      if (this.#ended !== undefined) throw this.#ended;
      const socket = this.#acceptNow();
      if (socket === 'failed') await pause(FAILED_PAUSE, options.signal);
      else if (socket) return new Connection(socket, this.type, this.#options);
      else await this.#readable(options.signal);
    }
  }

  async #readable(signal: AbortSignal | undefined): Promise<void> {
    try {
      await this.#readiness.wait(READ, { signal });
    } catch (error) {
      if (!isErrno(error, 'ENOMEM', 'ENOSPC')) throw error;
      await pause(FAILED_PAUSE, signal);
    }
  }

  #acceptNow(): Fd | 'failed' | undefined {
    try {
      const socket = sockets.socketAccept(this.#socket.number);
      return socket === WOULD_BLOCK ? undefined : new Fd(socket);
    } catch (error) {
      if (isErrno(error, ...BROKEN)) throw error;
      return 'failed';
    }
  }

  /** Connections until the listener is closed; an aborted signal ends the loop with its reason. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Connection, void, undefined> {
    for (;;) {
      let connection: Connection;
      try {
        connection = await this.accept();
      } catch (error) {
        if (error instanceof SocketError && error.code === 'CONNECTION_CLOSED') return;
        throw error;
      }
      yield connection;
    }
  }

  /** Stops listening and removes the socket file if it is still this listener's. Accepted connections live on. */
  close(): void {
    this.#end(new SocketError('CONNECTION_CLOSED', 'the listener was closed'));
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #end(reason: unknown): void {
    if (this.#socket.closed) return;
    this.#ended = reason;
    this.#readiness.close(reason);
    this.#removeFile();
    this.#socket.close();
  }
}

/**
 * Listens on a new socket file. A socket file that nobody listens on any more is replaced when this user owns it; any
 * other file stays.
 * @throws SocketError ADDRESS_IN_USE; the system's error otherwise
 * @example
 * ```ts
 * import { openSync } from 'node:fs';
 * import { connect, Fd, listen } from 'composefs-bridge/fd-passing';
 *
 * using listener = await listen('/run/files.sock', { mode: 0o600 });
 * using client = await connect('/run/files.sock');
 * for await (const connection of listener) {
 *   using file = new Fd(openSync('/etc/passwd', 'r'));
 *   await connection.send(Buffer.from('here it is'), [file]);
 *   connection.close();
 *   break;
 * }
 * const segment = await client.receive();
 * console.log(segment?.bytes.toString(), segment?.fds.length); // here it is 1
 * for (const fd of segment?.fds ?? []) fd.close();
 * ```
 */
export async function listen(path: string, options: ListenOptions = {}): Promise<Listener> {
  options.signal?.throwIfAborted();
  const type = options.type ?? 'stream';
  const name = bytesOf(basename(path));
  const parent = openPath(bytesOf(dirname(path)), constants.O_DIRECTORY);
  const socket = new Fd(sockets.socket(type));
  try {
    await lock(parent, options.signal);
    const mode = options.mode ?? 0o600;
    if (isStale(parent, name, path)) files.unlinkat(parent.number, name, 0);
    withSocketAddress(path, (address) => sockets.socketBind(socket.number, address, mode));
    const bound = files.fstatat(parent.number, name);
    // bind(2) applies the umask, which may have taken bits that were asked for.
    if ((bound.mode & 0o777) !== (mode & 0o777)) chmodSync(path, mode);
    sockets.socketListen(socket.number, options.backlog ?? 128);
    files.flock(parent.number, 'none');
    return new Listener(socket, type, options, () => {
      removeOwn(parent, name, bound);
      parent.close();
    });
  } catch (error) {
    const failure = isErrno(error, 'EADDRINUSE')
      ? new SocketError('ADDRESS_IN_USE', whyInUse(parent, name, path), { cause: error })
      : error;
    socket.close();
    parent.close();
    throw failure;
  }
}

function whyInUse(parent: Fd, name: ByteString, path: string): string {
  const found = statOrUndefined(parent, name);
  if (found !== undefined && !isSocket(found)) return `${path} is there already, and is no socket`;
  if (found !== undefined && found.uid !== process.geteuid!())
    return `${path} belongs to user ${found.uid}; remove it if nobody listens on it`;
  return `another process listens on ${path}`;
}

function isSocket({ mode }: FileStat): boolean {
  return (mode & constants.S_IFMT) === constants.S_IFSOCK;
}

/** Between bind and listen a socket looks stale to others; the directory's lock keeps them from replacing it. */
async function lock(parent: Fd, signal: AbortSignal | undefined): Promise<void> {
  for (let attempt = 0; attempt < LOCK_ATTEMPTS; attempt++) {
    if (files.flock(parent.number, 'exclusive')) return;
    await pause(LOCK_PAUSE, signal);
  }
  throw new SocketError('ADDRESS_IN_USE', 'another process keeps the lock of the socket directory');
}

function isStale(parent: Fd, name: ByteString, path: string): boolean {
  const found = statOrUndefined(parent, name);
  if (!found || !isSocket(found) || found.uid !== process.geteuid!()) return false;
  using probe = new Fd(sockets.socket('stream'));
  try {
    withSocketAddress(path, (address) => sockets.socketConnect(probe.number, address));
    return false;
  } catch (error) {
    return isErrno(error, 'ECONNREFUSED');
  }
}

function removeOwn(parent: Fd, name: ByteString, bound: FileStat): void {
  const found = statOrUndefined(parent, name);
  if (found?.dev === bound.dev && found.ino === bound.ino) files.unlinkat(parent.number, name, 0);
}

function statOrUndefined(parent: Fd, name: ByteString): FileStat | undefined {
  try {
    return files.fstatat(parent.number, name);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}
