import type { Abortable } from '../abortable.js';
import type { FdNumber } from '../native.js';
import { Fd, isErrno } from './fd.js';
import { ForeignFd, type ForeignFds } from './foreign-fd.js';
import {
  CONTROL_TRUNCATED,
  MAX_FDS_PER_SEND,
  PACKET_TRUNCATED,
  READ,
  sockets,
  TOO_MANY_IN_FLIGHT,
  WOULD_BLOCK,
  WRITE,
  type PeerCredentials,
  type SocketType,
} from './native-socket.js';
import { isRootOrSelf } from './peer.js';
import { idle, pause, Readiness } from './readiness.js';
import { SocketError } from './socket-error.js';

/**
 * What one receive brought: bytes, and the descriptors that came with the last part of them. The receiver owns them.
 */
export interface Segment {
  bytes: Buffer;
  fds: Fd[];
}

/** Aborting the signal closes the connection; whatever waits on it ends with the signal's reason. */
export interface ConnectionOptions extends Abortable {
  /** Milliseconds a receive, or a send the peer does not drain, may wait. Default: forever. */
  idleTimeout?: number;
  /** Longest packet accepted on a `seqpacket` connection, in bytes. Default: 65536. */
  maxPacket?: number;
}

/** The signal ends this operation only, with its reason. */
export type OperationOptions = Abortable;

const RECEIVE_BUFFER = 64 * 1024;
/** Below, copying what was received costs less than a new buffer. */
const WORTH_A_BUFFER = 16 * 1024;
/** How often to look whether descriptors in flight (a limit per user, not per socket) have been taken. */
const IN_FLIGHT_PAUSE = 10;
const GONE = ['EPIPE', 'ECONNRESET'] as const;
const NO_FDS: readonly FdNumber[] = [];
const NO_BYTES = new Uint8Array(0);

/**
 * One end of a connected Unix socket. Data is read only when asked for, so the socket's buffer throttles the sender.
 * Close it (or `using`) when done; what the kernel still holds is delivered.
 */
export class Connection implements Disposable {
  readonly type: SocketType;
  readonly #socket: Fd;
  readonly #readiness: Readiness;
  readonly #idleTimeout: number | undefined;
  /** Milliseconds a send the peer does not drain may wait. Default: the idle timeout. */
  sendTimeout: number | undefined;
  /** @internal Where the descriptors that a stranger sends count. */
  foreignFds: ForeignFds | undefined;
  readonly #packetRoom: number;
  readonly #unlisten: () => void;
  #sending: Promise<void> = Promise.resolve();
  #receiving = false;
  #stranger: boolean | undefined;
  readonly #returned: Segment[] = [];
  /** Why nothing more can be sent or received. */
  #broken: unknown;

  /**
   * Takes ownership of `socket`, a connected Unix socket of this type. Use `connect`, `fromFd`, `socketpair` or a
   * listener to get one.
   */
  constructor(socket: Fd, type: SocketType, options: ConnectionOptions = {}) {
    this.#socket = socket;
    this.type = type;
    this.#idleTimeout = this.sendTimeout = options.idleTimeout;
    this.#packetRoom = options.maxPacket ?? RECEIVE_BUFFER;
    this.#readiness = new Readiness(socket.number);
    const { signal } = options;
    const onAbort = (): void => this.end(signal?.reason);
    this.#unlisten = () => signal?.removeEventListener('abort', onAbort);
    if (signal?.aborted) this.end(signal.reason);
    else signal?.addEventListener('abort', onAbort, { once: true });
  }

  get closed(): boolean {
    return this.#socket.closed;
  }

  /** @internal The number of its descriptor, for a child process that takes over; stays the connection's. */
  get number(): FdNumber {
    return this.#socket.number;
  }

  /** The process at the other end when the connection was made. */
  get peer(): PeerCredentials {
    return sockets.socketPeer(this.#socket.number);
  }

  /**
   * Sends bytes, with descriptors on the first of them. Sends leave in the order of the calls; the promise resolves
   * when the kernel has taken everything. `bytes` and `fds` are borrowed until then: the caller keeps the descriptors
   * and closes them afterwards.
   * @param bytes on `seqpacket` one packet; at least one byte when descriptors are sent
   * @param fds at most 253
   * @throws SocketError PEER_GONE, IDLE_TIMEOUT, TOO_MANY_FDS, CONNECTION_CLOSED; SEND_INTERRUPTED once an earlier
   * send was given up halfway, which closes the connection; the system's error (EINVAL, EMSGSIZE, …) otherwise
   */
  async send(bytes: Uint8Array, fds: readonly Fd[] = [], options: OperationOptions = {}): Promise<void> {
    if (fds.length > MAX_FDS_PER_SEND)
      throw new SocketError(
        'TOO_MANY_FDS',
        `${fds.length} descriptors in one segment, the kernel takes ${MAX_FDS_PER_SEND}`,
      );
    if (bytes.length === 0 && (fds.length > 0 || this.type === 'seqpacket'))
      throw new RangeError('a packet, or a segment with descriptors, needs at least one byte');
    const turn = this.#sending.then(() => this.#sendNow(bytes, fds, options.signal));
    this.#sending = turn.catch(() => {});
    await (options.signal ? untilAborted(turn, options.signal) : turn);
  }

  async #sendNow(bytes: Uint8Array, fds: readonly Fd[], signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted();
    const wait = { signal, timeout: this.sendTimeout };
    let offset = 0;
    let paused = 0;
    try {
      while (offset < bytes.length) {
        await this.#readiness.yieldTurn();
        this.#check();
        const numbers = offset === 0 && fds.length > 0 ? fds.map((fd) => fd.number) : NO_FDS;
        const sent = sockets.socketSend(this.#socket.number, bytes, offset, numbers);
        if (sent === WOULD_BLOCK) await this.#readiness.wait(WRITE, wait);
        else if (sent === TOO_MANY_IN_FLIGHT) {
          if (paused >= (this.sendTimeout ?? Infinity)) throw idle(paused);
          await pause(IN_FLIGHT_PAUSE, signal);
          paused += IN_FLIGHT_PAUSE;
        } else offset += sent;
      }
    } catch (error) {
      // After a peer that went away its last words can still be read.
      if (offset > 0 && !isErrno(error, ...GONE))
        this.end(
          new SocketError('SEND_INTERRUPTED', `a send ended after ${offset} of ${bytes.length} bytes`, {
            cause: error,
          }),
        );
      throw peerGone(error);
    }
  }

  /**
   * Waits for the next bytes: on `seqpacket` one packet, on `stream` whatever is there. Descriptors come with the
   * bytes they were attached to; those of two sends never come together.
   * @returns the segment, or undefined at the end of the peer's data
   * @throws SocketError CONTROL_TRUNCATED (nothing leaks; the connection is of no more use), PACKET_TRUNCATED (the
   * packet and its descriptors are gone; the next one can be received), PEER_GONE, IDLE_TIMEOUT (which may be
   * retried), CONNECTION_CLOSED
   */
  async receive(options: OperationOptions = {}): Promise<Segment | undefined> {
    if (this.#receiving) throw new Error('receive: the previous receive has not ended');
    this.#receiving = true;
    try {
      options.signal?.throwIfAborted();
      for (;;) {
        await this.#readiness.yieldTurn();
        this.#check();
        const segment = this.#receiveNow();
        if (segment !== 'wait') return segment;
        await this.#readiness.wait(READ, { signal: options.signal, timeout: this.#idleTimeout });
      }
    } catch (error) {
      throw peerGone(error);
    } finally {
      this.#receiving = false;
    }
  }

  /**
   * What can be received without waiting, if anything.
   * @returns undefined also at the end of data, and while another receive waits
   * @throws as `receive`
   */
  receiveNow(): Segment | undefined {
    this.#check();
    if (this.#receiving) return undefined;
    try {
      const segment = this.#receiveNow();
      return segment === 'wait' ? undefined : segment;
    } catch (error) {
      throw peerGone(error);
    }
  }

  /**
   * Puts a segment back, to be received again before everything else. For finding out what a peer speaks.
   * The connection owns its descriptors again.
   */
  unreceive(segment: Segment): void {
    if (!this.closed) this.#returned.push(segment);
    else for (const fd of segment.fds) fd.close();
  }

  /** Bytes (with what the kernel adds to them) that were sent and the peer has not received; 0 once it is closed. */
  get unread(): number {
    return this.closed ? 0 : sockets.socketUnread(this.#socket.number);
  }

  /**
   * Whether nothing can be sent any more, as after the peer has closed its end. One that only ended its data
   * (`shutdown`) can still be sent to.
   */
  get peerGone(): boolean {
    if (this.closed) return true;
    try {
      // Nothing is sent; the kernel tells whether anything could be.
      sockets.socketSend(this.#socket.number, NO_BYTES, 0, NO_FDS);
      return false;
    } catch {
      return true;
    }
  }

  get #fromStranger(): boolean {
    return (this.#stranger ??= !isRootOrSelf(this.peer.uid));
  }

  #receiveNow(): Segment | undefined | 'wait' {
    const returned = this.#returned.shift();
    if (returned) return returned;
    const room = Math.max(RECEIVE_BUFFER, this.#packetRoom);
    if (scratch.length < room) scratch = Buffer.allocUnsafeSlow(room);
    const numbers: number[] = [];
    const most = Math.min(this.foreignFds?.room ?? Infinity, MAX_FDS_PER_SEND);
    const received = sockets.socketReceive(
      this.#socket.number,
      scratch,
      0,
      this.type === 'stream' ? RECEIVE_BUFFER : this.#packetRoom,
      numbers,
      most,
    );
    const fds = numbers.map((number) => (this.#fromStranger ? new ForeignFd(number, this.foreignFds) : new Fd(number)));
    if (received === CONTROL_TRUNCATED || received === PACKET_TRUNCATED) for (const fd of fds) fd.close();
    if (received === WOULD_BLOCK) return 'wait';
    if (received === CONTROL_TRUNCATED && most < MAX_FDS_PER_SEND)
      throw this.#lostFds(`user ${this.peer.uid} sends more descriptors than its clients may have in use`);
    if (received === CONTROL_TRUNCATED)
      throw this.#lostFds('descriptors were lost on arrival: raise the limit of open files (RLIMIT_NOFILE)');
    if (received === PACKET_TRUNCATED)
      throw new SocketError('PACKET_TRUNCATED', `a packet is longer than ${this.#packetRoom} bytes`);
    if (received === 0 && fds.length === 0) return undefined;
    return { bytes: takeReceived(received), fds };
  }

  /** Segments until the end of the peer's data. Leaving the loop early leaves the connection open. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Segment, void, undefined> {
    for (let segment; (segment = await this.receive()); ) yield segment;
  }

  /** Half close: after what was sent so far, the peer sees the end of data. Receiving goes on. */
  async shutdown(): Promise<void> {
    await this.#sending;
    this.#check();
    sockets.socketShutdownWrite(this.#socket.number);
  }

  /** Ends whatever waits (`CONNECTION_CLOSED`) and closes the socket. Harmless when repeated. */
  close(): void {
    this.end(new SocketError('CONNECTION_CLOSED', 'the connection was closed'));
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** Closes the socket; whatever waits on it ends with the reason. Harmless when repeated. */
  end(reason: unknown): void {
    if (this.#socket.closed) return;
    this.#broken = reason;
    this.#unlisten();
    this.#readiness.close(reason);
    this.#socket.close();
    for (const { fds } of this.#returned.splice(0)) for (const fd of fds) fd.close();
  }

  #lostFds(message: string): SocketError {
    const error = new SocketError('CONTROL_TRUNCATED', message);
    this.#broken ??= error;
    return error;
  }

  #check(): void {
    if (this.#broken !== undefined) throw this.#broken;
  }
}

/**
 * Received into by all connections in turn: one that waits holds no memory, and a single byte keeps no more than
 * itself.
 */
let scratch: Buffer = Buffer.alloc(0);

function takeReceived(length: number): Buffer {
  const bytes = scratch.subarray(0, length);
  if (length < WORTH_A_BUFFER) return Buffer.from(bytes);
  scratch = Buffer.alloc(0);
  return bytes;
}

function peerGone(error: unknown): unknown {
  if (!isErrno(error, ...GONE)) return error;
  return new SocketError('PEER_GONE', 'the peer closed the connection', { cause: error });
}

async function untilAborted(turn: Promise<void>, signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason as Error);
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    turn.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}
