import { BridgeError } from '../../errors.js';
import { Repository } from '../../repository/repository.js';

/** More than this many are not remembered; those of closed connections are forgotten first. */
const MOST_HANDLES = 1024;

/** A handle that stands for no repository. */
export class UnknownHandleError extends BridgeError {
  constructor(readonly handle: number) {
    super('INVALID_HANDLE', `no repository is open under the handle ${handle}`);
  }
}

interface Place {
  path: string;
  /** whether the connection that opened it is still there */
  held: boolean;
}

/**
 * What the handles of a service stand for. As in cfsctl, a handle is good on every connection, so that programs that make a connection
 * for each call can use it. It is a path only: what keeps the repository open belongs to a connection.
 */
export class HandleTable {
  readonly #places = new Map<number, Place>();
  #last = 0;

  /** @throws BridgeError `TOO_MANY_HANDLES` */
  add(path: string): number {
    if (this.#places.size >= MOST_HANDLES) this.#forgetOldest();
    this.#places.set(++this.#last, { path, held: true });
    return this.#last;
  }

  /** @throws UnknownHandleError */
  path(handle: number): string {
    const place = this.#places.get(handle);
    if (place === undefined) throw new UnknownHandleError(handle);
    return place.path;
  }

  remove(handle: number): void {
    this.#places.delete(handle);
  }

  /** The connection that opened it is gone. */
  abandon(handle: number): void {
    const place = this.#places.get(handle);
    if (place) place.held = false;
  }

  #forgetOldest(): void {
    for (const [handle, { held }] of this.#places) {
      if (held) continue;
      this.#places.delete(handle);
      return;
    }
    throw new BridgeError('TOO_MANY_HANDLES', `${MOST_HANDLES} repositories are open; close some`);
  }
}

/**
 * The repositories of one connection. Those it opened stay locked against garbage collection until it closes the handle or
 * goes away; every call opens its repository anew, so that calls and handles do not stand in each other's way.
 */
export class ConnectionRepositories implements Disposable {
  readonly #table: HandleTable;
  readonly #held = new Map<number, Repository>();

  constructor(table: HandleTable) {
    this.#table = table;
  }

  /** @throws what `Repository.open` throws */
  async open(path: string, signal: AbortSignal): Promise<{ handle: number; repository: Repository }> {
    const repository = await Repository.open(path, { signal });
    try {
      const handle = this.#table.add(path);
      this.#held.set(handle, repository);
      return { handle, repository };
    } catch (error) {
      repository[Symbol.dispose]();
      throw error;
    }
  }

  /** @throws UnknownHandleError */
  close(handle: number): void {
    this.#table.path(handle);
    this.#table.remove(handle);
    this.#held.get(handle)?.[Symbol.dispose]();
    this.#held.delete(handle);
  }

  /**
   * Opens the repository of a handle; the caller disposes it.
   * @throws UnknownHandleError; what `Repository.open` throws
   */
  async use(handle: number, access: 'read' | 'write', signal: AbortSignal): Promise<Repository> {
    return Repository.open(this.#table.path(handle), { write: access === 'write', signal });
  }

  /**
   * Runs `work` while this connection holds no repository of its own: garbage collection waits for everybody who has the
   * repository open.
   */
  async released<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> {
    const handles = [...this.#held.keys()];
    this.#release();
    try {
      return await work();
    } finally {
      for (const handle of handles) {
        const again = await Repository.open(this.#table.path(handle), { signal }).catch(() => undefined);
        if (again) this.#held.set(handle, again);
      }
    }
  }

  [Symbol.dispose](): void {
    for (const handle of this.#held.keys()) this.#table.abandon(handle);
    this.#release();
  }

  #release(): void {
    for (const repository of this.#held.values()) repository[Symbol.dispose]();
    this.#held.clear();
  }
}
