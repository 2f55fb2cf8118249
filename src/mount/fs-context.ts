import type { ByteString } from '../bytes.js';
import type { SystemErrorCode } from '../error-codes.js';
import { BridgeError, systemCode } from '../errors.js';
import { Fd, isErrno } from '../fd/fd.js';
import { loadNative, type FdNumber } from '../native.js';

/** The addon's mount calls. */
interface NativeMount {
  fsopen(type: ByteString): number;
  fsconfig(context: FdNumber, key: ByteString, value: ByteString | undefined): void;
  fsconfigCreate(context: FdNumber): void;
  fsLog(context: FdNumber): string[];
  fsmount(context: FdNumber, readOnly: boolean, noSuidNoDev: boolean): number;
  moveMount(mount: FdNumber, target: FdNumber): void;
  idmapMount(mount: FdNumber, userNamespace: FdNumber): void;
  detachMount(path: ByteString): void;
}

export const mounts = loadNative<NativeMount>();

/** A mount that did not work. The message says what the kernel said and what is needed. */
export class MountError extends BridgeError {
  declare readonly code: 'MOUNT_FAILED';

  constructor(message: string, options: ErrorOptions = {}) {
    super('MOUNT_FAILED', message, options);
  }
}

/** What is missing when one step fails with one errno. */
export type Hints = Readonly<Partial<Record<SystemErrorCode, string>>>;

const PRIVILEGE = 'this needs CAP_SYS_ADMIN in the initial user namespace (run as root, outside rootless containers)';
const NEW_API = 'the kernel lacks the new mount API (Linux 5.2)';

/**
 * A filesystem being set up: options first, then `mount`. Errors carry the kernel's own messages.
 * @param type the kernel's name of the filesystem
 * @param missing what to tell when the kernel does not know that filesystem
 */
export class FsContext implements Disposable {
  readonly #fd: Fd;
  readonly #type: string;

  constructor(type: string, missing: string) {
    this.#type = type;
    try {
      this.#fd = new Fd(mounts.fsopen(type));
    } catch (error) {
      throw mountError(`preparing ${type}`, error, [], { ENODEV: missing });
    }
  }

  /** Sets an option; `undefined` as value sets a flag. */
  set(key: string, value: ByteString | undefined, hints: Hints = {}): void {
    this.#step(`${this.#type} option ${key}${value === undefined ? '' : `=${value}`}`, hints, () =>
      mounts.fsconfig(this.#fd.number, key, value),
    );
  }

  /**
   * Opens the filesystem and mounts it, attached nowhere yet.
   * @param noSuidNoDev neither setuid programs nor device files work in it
   * @throws MountError
   */
  mount(readOnly: boolean, hints: Hints, noSuidNoDev = false): Fd {
    this.#step(`opening ${this.#type}`, hints, () => mounts.fsconfigCreate(this.#fd.number));
    return this.#step(
      `mounting ${this.#type}`,
      {},
      () => new Fd(mounts.fsmount(this.#fd.number, readOnly, noSuidNoDev)),
    );
  }

  [Symbol.dispose](): void {
    this.#fd.close();
  }

  #step<T>(what: string, hints: Hints, call: () => T): T {
    try {
      return call();
    } catch (error) {
      throw mountError(what, error, mounts.fsLog(this.#fd.number), hints);
    }
  }
}

/**
 * Explains a failed mount step.
 * @param log the kernel's messages, each with a severity letter in front (`e erofs: …`)
 */
export function mountError(what: string, error: unknown, log: readonly string[], hints: Hints): MountError {
  const code = systemCode(error) ?? 'EUNKNOWN';
  const hint =
    hints[code] ?? (isErrno(error, 'EPERM', 'EACCES') ? PRIVILEGE : isErrno(error, 'ENOSYS') ? NEW_API : undefined);
  const said = log.map((line) => line.replace(/^[a-z] /, '').trim()).join('; ');
  const parts = [`${what} failed`, said && `the kernel says: ${said}`, hint].filter(
    (part) => part !== '' && part !== undefined,
  );
  return new MountError(parts.join('; '), { cause: error });
}
