import type { Abortable } from '../../abortable.js';
import { fromFd, SocketError, type Connection, type Fd, type PeerCredentials } from '../../fd/fd-passing.js';
import { PROXY_PACKET_LIMIT } from '../../limits.js';

/** A packet as it arrived. The receiver owns its descriptors. */
export interface ProxyPacket {
  bytes: Buffer;
  fds: Fd[];
}

/** One end of an image proxy's socket, the same for client and server: whole packets, in order. */
export class ProxyConnection implements Disposable {
  readonly #connection: Connection;

  /**
   * @param socket a connected SOCK_SEQPACKET socket, whose ownership is taken
   * @param options the signal closes the connection
   * @throws SocketError `NOT_A_SOCKET` for anything else
   */
  constructor(socket: Fd, options: Abortable = {}) {
    const { signal } = options;
    using owned = socket;
    this.#connection = fromFd(owned, { ...(signal && { signal }), maxPacket: PROXY_PACKET_LIMIT });
    if (this.#connection.type === 'seqpacket') return;
    this.#connection.close();
    throw new SocketError('NOT_A_SOCKET', 'an image proxy talks through a seqpacket socket, and this is a stream');
  }

  get closed(): boolean {
    return this.#connection.closed;
  }

  /** The process at the other end when the connection was made. */
  get peer(): PeerCredentials {
    return this.#connection.peer;
  }

  /**
   * Sends one packet. Packets leave in the order of the calls.
   * @param fds borrowed until the promise is settled
   * @throws SocketError as `Connection.send`
   */
  async send(packet: Buffer, fds: readonly Fd[] = [], options: Abortable = {}): Promise<void> {
    await this.#connection.send(packet, fds, options);
  }

  /**
   * The next packet.
   * @returns undefined when the other end has closed
   * @throws SocketError `PACKET_TRUNCATED` for one beyond 32 KiB, which is lost with its descriptors, and after which
   *   the next one can be received; others as `Connection.receive`
   */
  async receive(options: Abortable = {}): Promise<ProxyPacket | undefined> {
    return this.#connection.receive(options);
  }

  /** Ends whatever waits, with `reason`, and closes the socket. Harmless when repeated. */
  end(reason: unknown): void {
    this.#connection.end(reason);
  }

  [Symbol.dispose](): void {
    this.#connection.close();
  }
}
