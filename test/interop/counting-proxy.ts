import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Passes connections on to a server, and counts their bytes. It takes them no faster than at a rate, so that neither
 * side's buffers hold more than a moment's worth that nobody has counted.
 */
export class CountingProxy implements AsyncDisposable {
  readonly #server: Server;
  readonly #port: number;
  readonly #rate: number;
  readonly #sockets = new Set<Socket>();
  /** to the client, and from it */
  served = 0;
  taken = 0;
  /** called when one of the counts has changed */
  onBytes: (() => void) | undefined;

  private constructor(port: number, rate: number) {
    this.#port = port;
    this.#rate = rate;
    this.#server = createServer((client) => this.#connected(client));
  }

  /** @param host 127.0.0.1:PORT @param rate bytes per second of a connection, in each direction */
  static async start(host: string, rate: number): Promise<CountingProxy> {
    const proxy = new CountingProxy(Number(host.slice(host.indexOf(':') + 1)), rate);
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  get host(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** What clients have read of `served`: on a busy machine the kernel keeps some megabytes until they come to it. */
  get arrived(): number {
    const { port } = this.#server.address() as AddressInfo;
    const isOurs = (address: string): boolean => Number.parseInt(address.slice(address.indexOf(':') + 1), 16) === port;
    let waiting = 0;
    // proc_pid_net(5): number, local address, remote address, state, bytes to be sent:bytes to be read, in hexadecimal
    for (const line of readFileSync('/proc/net/tcp', 'latin1').trim().split('\n').slice(1)) {
      const [, local = '', remote = '', , queues = ''] = line.trim().split(/\s+/);
      const [unsent = 0, unread = 0] = queues.split(':').map((hex) => Number.parseInt(hex, 16));
      waiting += (isOurs(local) ? unsent : 0) + (isOurs(remote) ? unread : 0);
    }
    return Math.max(0, this.served - waiting);
  }

  reset(): void {
    this.served = 0;
    this.taken = 0;
    this.onBytes = undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await once(this.#server, 'close');
  }

  #connected(client: Socket): void {
    const server = connect(this.#port, '127.0.0.1');
    void this.#pass(client, server, (bytes) => (this.taken += bytes));
    void this.#pass(server, client, (bytes) => (this.served += bytes));
  }

  async #pass(from: Socket, to: Socket, count: (bytes: number) => void): Promise<void> {
    this.#sockets.add(from);
    try {
      for await (const piece of from as AsyncIterable<Buffer>) {
        count(piece.length);
        this.onBytes?.();
        if (!to.write(piece)) await once(to, 'drain', { signal: AbortSignal.timeout(60_000) });
        await sleep((piece.length / this.#rate) * 1000);
      }
      to.end();
    } catch {
      // A client that was killed; what it began ends for the server as well.
      to.destroy();
    }
    this.#sockets.delete(from);
  }
}
