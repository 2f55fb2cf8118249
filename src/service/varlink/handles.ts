import { BridgeError } from '../../errors.js';
import { Repository } from '../../repository/repository.js';
import { isTrustedFolder } from '../../repository/trust.js';
import type { ClientShare } from '../shares.js';

/** More than this many are not remembered; those of closed connections are forgotten first. */
const MOST_HANDLES = 1024;

/** A repository that is open: its folder, objects, and lock. */
const REPOSITORY_DESCRIPTORS = 4;

/** A handle that stands for no repository. */
export class UnknownHandleError extends BridgeError {
  declare readonly code: 'INVALID_HANDLE';

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
 * What the handles of a service stand for. As in cfsctl, a handle is good on every connection, so that programs that
 * make a connection for each call can use it. It is a path only: what keeps the repository open belongs to a
 * connection.
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
 * The repositories of one connection. Those it opened stay locked against garbage collection until it closes the handle
 * or goes away; every call opens its repository anew, so that calls and handles do not stand in each other's way.
 */
export class ConnectionRepositories implements Disposable {
  readonly #table: HandleTable;
  readonly #share: ClientShare;
  readonly #held = new Map<number, Repository>();
  readonly #taken = new Map<number, Disposable>();

  constructor(table: HandleTable, share: ClientShare) {
    this.#table = table;
    this.#share = share;
  }

  /** @throws BridgeError `TOO_MANY_DESCRIPTORS`; what `Repository.open` throws */
  async open(path: string, signal: AbortSignal): Promise<{ handle: number; repository: Repository }> {
    const taken = this.#share.descriptors(REPOSITORY_DESCRIPTORS);
    let repository: Repository | undefined;
    try {
      repository = await openRepository(path, 'read', signal);
      const handle = this.#table.add(path);
      this.#held.set(handle, repository);
      this.#taken.set(handle, taken);
      return { handle, repository };
    } catch (error) {
      taken[Symbol.dispose]();
      repository?.[Symbol.dispose]();
      throw error;
    }
  }

  /** @throws UnknownHandleError */
  close(handle: number): void {
    this.#table.path(handle);
    this.#table.remove(handle);
    for (const map of [this.#held, this.#taken]) {
      map.get(handle)?.[Symbol.dispose]();
      map.delete(handle);
    }
  }

  /**
   * Opens the repository of a handle; the caller disposes it.
   * @throws UnknownHandleError; what `Repository.open` throws
   */
  async use(handle: number, access: 'read' | 'write', signal: AbortSignal): Promise<Repository> {
    return openRepository(this.#table.path(handle), access, signal);
  }

  /**
   * Runs `work` while this connection holds no repository of its own: garbage collection waits for everybody who has
   * the repository open.
   */
  async released<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> {
    const handles = [...this.#held.keys()];
    this.#release();
    try {
      return await work();
    } finally {
      for (const handle of handles) {
        const again = await openRepository(this.#table.path(handle), 'read', signal).catch(() => undefined);
        if (again) this.#held.set(handle, again);
      }
    }
  }

  [Symbol.dispose](): void {
    for (const handle of this.#held.keys()) this.#table.abandon(handle);
    this.#release();
    for (const taken of this.#taken.values()) taken[Symbol.dispose]();
    this.#taken.clear();
  }

  #release(): void {
    for (const repository of this.#held.values()) repository[Symbol.dispose]();
    this.#held.clear();
  }
}

/** The client named the path, so whom to trust is said by the service's environment alone. */
async function openRepository(path: string, access: 'read' | 'write', signal: AbortSignal): Promise<Repository> {
  return await Repository.open(path, { write: access === 'write', trust: isTrustedFolder(path), signal });
}
