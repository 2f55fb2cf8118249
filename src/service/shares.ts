import type { ErrorCode } from '../error-codes.js';
import { BridgeError } from '../errors.js';
import type { ForeignFds } from '../fd/foreign-fd.js';
import { isRootOrSelf } from '../fd/peer.js';
import { readWhole } from '../fd/read-whole.js';
import { RpcProtocolError } from '../rpc/rpc-error.js';
import type { CallLimits, MessageShare, ServingLimits } from '../rpc/jsonrpc/incoming-message.js';
import { CLIENT_LIMITS, KERNEL_FILE_LIMIT, type ClientLimits } from '../limits.js';

/** What somebody holds: of one user, or of all strangers together. */
interface Held {
  descriptors: number;
  leases: number;
  fileAnswers: number;
  unfinished: number;
  connections: number;
}

const nothing = (): Held => ({ descriptors: 0, leases: 0, fileAnswers: 0, unfinished: 0, connections: 0 });

/**
 * What the clients of a server may take of it, so that none stops the others. Root and the user the server runs as have
 * a share apart: a quarter of the descriptors is for them alone.
 */
export class Shares {
  readonly limits: ClientLimits;
  readonly #users = new Map<number, Held>();
  readonly #strangers = nothing();
  readonly #trusted = nothing();
  readonly #descriptors: number;

  /** @param limits for those that differ */
  constructor(limits: Partial<ClientLimits> = {}) {
    this.limits = { ...CLIENT_LIMITS, ...limits };
    this.#descriptors = this.limits.descriptors ?? openFilesLimit();
  }

  /**
   * A new connection of a user; to be disposed with it.
   * @throws BridgeError `TOO_MANY_DESCRIPTORS`
   */
  connection(uid: number): ClientShare {
    return new ClientShare(
      this.limits,
      this.#descriptors,
      this.#user(uid),
      isRootOrSelf(uid) ? this.#trusted : this.#strangers,
      uid,
      () => this.#forget(uid),
    );
  }

  #user(uid: number): Held {
    const known = this.#users.get(uid);
    if (known !== undefined) return known;
    const user = nothing();
    this.#users.set(uid, user);
    return user;
  }

  #forget(uid: number): void {
    const user = this.#users.get(uid);
    // What could not be closed is its user's beyond all connections.
    if (user?.connections === 0 && user.descriptors === 0) this.#users.delete(uid);
  }
}

/** What one connection takes. */
export class ClientShare implements MessageShare, ForeignFds, Disposable {
  readonly limits: ClientLimits;
  readonly #descriptors: number;
  readonly #user: Held;
  readonly #all: Held;
  readonly #uid: number;
  readonly #closed: () => void;
  #unfinished = 0;
  readonly #connection: Disposable;
  #received: Disposable = { [Symbol.dispose]() {} };

  constructor(limits: ClientLimits, descriptors: number, user: Held, all: Held, uid: number, closed: () => void) {
    this.limits = limits;
    this.#descriptors = descriptors;
    this.#user = user;
    this.#all = all;
    this.#uid = uid;
    this.#closed = closed;
    this.#connection = this.descriptors(limits.descriptorsOfConnection);
    user.connections++;
  }

  get #trusted(): boolean {
    return isRootOrSelf(this.#uid);
  }

  /** How many more descriptors there may be. */
  get room(): number {
    if (this.#trusted) return Infinity;
    return Math.max(
      0,
      Math.floor(
        Math.min(this.#descriptors / 4 - this.#user.descriptors, (this.#descriptors * 3) / 4 - this.#all.descriptors),
      ),
    );
  }

  /** Sets so many descriptors aside until the result is disposed. @throws BridgeError `TOO_MANY_DESCRIPTORS` */
  descriptors(count: number): Disposable {
    if (count > this.room) {
      throw new BridgeError(
        'TOO_MANY_DESCRIPTORS',
        `clients of user ${this.#uid} have as many of this server's descriptors in use as they may; close ` +
          'connections and leases',
      );
    }
    return this.#take('descriptors', count);
  }

  /** One layer is in use until the result is disposed. @throws BridgeError `TOO_MANY_LEASES`, `TOO_MANY_DESCRIPTORS` */
  lease(): Disposable {
    const { leases, descriptorsOfLease } = this.limits;
    return this.#some(
      'leases',
      leases,
      descriptorsOfLease,
      'TOO_MANY_LEASES',
      `${leases} layers are in use by clients of user ${this.#uid}; close the leases of some`,
    );
  }

  /**
   * An answer of many descriptors is under way until the result is disposed.
   * @throws BridgeError `TOO_MANY_ANSWERS`, `TOO_MANY_DESCRIPTORS`
   */
  fileAnswer(descriptors: number): Disposable {
    const { fileAnswers } = this.limits;
    return this.#some(
      'fileAnswers',
      fileAnswers,
      descriptors,
      'TOO_MANY_ANSWERS',
      `${fileAnswers} layers are on their way to clients of user ${this.#uid}; read those first`,
    );
  }

  #some(what: 'leases' | 'fileAnswers', most: number, count: number, code: ErrorCode, message: string): Disposable {
    if (!this.#trusted && this.#user[what] >= most) throw new BridgeError(code, message);
    const descriptors = this.descriptors(count);
    const one = this.#take(what, 1);
    return {
      [Symbol.dispose]() {
        one[Symbol.dispose]();
        descriptors[Symbol.dispose]();
      },
    };
  }

  /**
   * Received and not handed to a method yet, or with it: `count` descriptors in all.
   * @throws BridgeError `TOO_MANY_DESCRIPTORS`
   */
  received(count: number): void {
    const before = this.#received;
    this.#received = { [Symbol.dispose]() {} };
    before[Symbol.dispose]();
    if (count > 0) this.#received = this.descriptors(count);
  }

  leftOpen(count: number): void {
    this.#user.descriptors += count;
    this.#all.descriptors += count;
    this.#closed();
  }

  unfinished(bytes: number): void {
    const more = bytes - this.#unfinished;
    const { unfinishedOfUser, unfinishedOfAll } = this.limits;
    if (
      more > 0 &&
      ((!this.#trusted && this.#user.unfinished + more > unfinishedOfUser) ||
        this.#all.unfinished + more > unfinishedOfAll)
    ) {
      throw new RpcProtocolError(
        'TOO_MUCH_UNFINISHED',
        `clients of user ${this.#uid} have begun more messages than this server keeps`,
      );
    }
    this.#unfinished = bytes;
    this.#user.unfinished += more;
    this.#all.unfinished += more;
  }

  #take(what: 'descriptors' | 'leases' | 'fileAnswers', count: number): Disposable {
    let held = count;
    const add = (more: number): void => {
      this.#user[what] += more;
      this.#all[what] += more;
    };
    add(held);
    return {
      [Symbol.dispose]() {
        add(-held);
        held = 0;
      },
    };
  }

  [Symbol.dispose](): void {
    this.unfinished(0);
    this.received(0);
    this.#connection[Symbol.dispose]();
    this.#user.connections--;
    this.#closed();
  }
}

/** RLIMIT_NOFILE of this process. */
function openFilesLimit(): number {
  const limit = /^Max open files\s+(\d+)/m.exec(
    readWhole('/proc/self/limits', KERNEL_FILE_LIMIT).toString('latin1'),
  )?.[1];
  return limit === undefined ? Infinity : Number(limit);
}

/** What serving a client is bounded by. @param longStrings by method */
export function servingLimits(share: ClientShare, longStrings?: CallLimits['longStrings']): ServingLimits {
  return {
    calls: { share, time: share.limits.messageTime, ...(longStrings && { longStrings }) },
    unread: share.limits.unread,
  };
}
