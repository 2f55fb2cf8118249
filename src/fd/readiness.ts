import type { Abortable } from '../abortable.js';
import type { FdNumber } from '../native.js';
import { SocketError } from './socket-error.js';
import { READ, sockets, WRITE, type Interest } from './native-socket.js';

export interface WaitOptions extends Abortable {
  /** Milliseconds after which the wait ends with `IDLE_TIMEOUT`. */
  timeout?: number | undefined;
}

/** How many operations may succeed at once before timers and other sockets get their turn. */
const OPERATIONS_PER_TURN = 32;

const waitingSockets = new Map<number, Readiness>();
let nextToken = 1;

function dispatch(tokensAndReadiness: number[]): void {
  for (let i = 0; i < tokensAndReadiness.length; i += 2)
    waitingSockets.get(tokensAndReadiness[i]!)?.wake(tokensAndReadiness[i + 1]!);
}

/**
 * Waits until a non-blocking socket can be read or written. The process stays alive only while some
 * socket waits. One wait per direction at a time.
 */
export class Readiness {
  readonly #socket: FdNumber;
  readonly #token = nextToken++;
  readonly #waiters = new Map<Interest, (error?: unknown) => void>();
  #operations = 0;

  constructor(socket: FdNumber) {
    sockets.pollStart(dispatch);
    this.#socket = socket;
  }

  async wait(interest: Interest, options: WaitOptions = {}): Promise<void> {
    const { signal, timeout } = options;
    signal?.throwIfAborted();
    this.#operations = 0;
    await new Promise<void>((resolve, reject) => {
      const onAbort = (): void => finish(signal?.reason);
      const timer = timeout === undefined ? undefined : setTimeout(() => finish(idle(timeout)), timeout);
      const finish = (error?: unknown): void => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', onAbort);
        this.#remove(interest);
        if (error === undefined) resolve();
        else reject(error as Error);
      };
      signal?.addEventListener('abort', onAbort, { once: true });
      try {
        this.#add(interest, finish);
      } catch (error) {
        finish(error);
      }
    });
  }

  /**
   * Keeps a socket that is always ready from starving the event loop: call before each operation. Returns a
   * promise only when it is time to yield.
   */
  yieldTurn(): Promise<void> | undefined {
    if (++this.#operations < OPERATIONS_PER_TURN) return undefined;
    this.#operations = 0;
    return new Promise((resolve) => setImmediate(resolve));
  }

  /** Called when the kernel reports the socket ready. */
  wake(ready: number): void {
    for (const [interest, finish] of [...this.#waiters]) if (interest & ready) finish();
    if (this.#waiters.size === 0) return;
    try {
      this.#arm();
    } catch (error) {
      // Thrown here, where the poller calls, it would end the process, not only what waits.
      this.#fail(error);
    }
  }

  /** Ends all waits with `error` and forgets the socket; must precede closing it. */
  close(error: unknown): void {
    this.#fail(error);
    sockets.pollForget(this.#socket);
  }

  #fail(error: unknown): void {
    for (const finish of [...this.#waiters.values()]) finish(error);
  }

  #add(interest: Interest, finish: (error?: unknown) => void): void {
    this.#waiters.set(interest, finish);
    if (this.#waiters.size === 1) {
      waitingSockets.set(this.#token, this);
      if (waitingSockets.size === 1) sockets.pollHold(true);
    }
    this.#arm();
  }

  #remove(interest: Interest): void {
    if (!this.#waiters.delete(interest) || this.#waiters.size > 0) return;
    waitingSockets.delete(this.#token);
    if (waitingSockets.size === 0) sockets.pollHold(false);
  }

  #arm(): void {
    const interest = (this.#waiters.has(READ) ? READ : 0) | (this.#waiters.has(WRITE) ? WRITE : 0);
    sockets.pollArm(this.#socket, this.#token, interest);
  }
}

/** For conditions the kernel cannot wait for: sleeps `ms`, or until aborted. */
export async function pause(ms: number, signal?: AbortSignal): Promise<void> {
  signal?.throwIfAborted();
  await new Promise<void>((resolve, reject) => {
    const onAbort = (): void => {
      clearTimeout(timer);
      reject(signal?.reason as Error);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    }, ms);
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}

export function idle(timeout: number): SocketError {
  return new SocketError('IDLE_TIMEOUT', `the peer was silent for ${timeout} ms`);
}
