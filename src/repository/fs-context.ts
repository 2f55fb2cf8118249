import type { ByteString } from '../bytes.js';
import { BridgeError } from '../errors.js';
import { Fd, isErrno } from '../fd/fd.js';
import { loadNative } from '../native.js';

/** The addon's mount calls. */
interface NativeMount {
  fsopen(type: ByteString): number;
  fsconfig(context: number, key: ByteString, value: ByteString | null): void;
  fsconfigCreate(context: number): void;
  fsLog(context: number): string[];
  fsmount(context: number, readOnly: boolean): number;
  moveMount(mount: number, target: number): void;
  idmapMount(mount: number, userNamespace: number): void;
  detachMount(path: ByteString): void;
}

export const mounts = loadNative<NativeMount>();

/** A mount that did not work. The message says what the kernel said and what is needed. */
export class MountError extends BridgeError {}

/** What is missing when one step fails with one errno. */
export type Hints = Readonly<Record<string, string>>;

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

  /** Sets an option; `null` as value sets a flag. */
  set(key: string, value: ByteString | null, hints: Hints = {}): void {
    this.#step(`${this.#type} option ${key}${value === null ? '' : `=${value}`}`, hints, () => mounts.fsconfig(this.#fd.number, key, value));
  }

  /**
   * Opens the filesystem and mounts it, attached nowhere yet.
   * @throws MountError
   */
  mount(readOnly: boolean, hints: Hints): Fd {
    this.#step(`opening ${this.#type}`, hints, () => mounts.fsconfigCreate(this.#fd.number));
    return this.#step(`mounting ${this.#type}`, {}, () => new Fd(mounts.fsmount(this.#fd.number, readOnly)));
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
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'EUNKNOWN';
  const hint = hints[code] ?? (isErrno(error, 'EPERM', 'EACCES') ? PRIVILEGE : isErrno(error, 'ENOSYS') ? NEW_API : undefined);
  const said = log.map((line) => line.replace(/^[a-z] /, '').trim()).join('; ');
  const parts = [`${what} failed`, said && `the kernel says: ${said}`, hint].filter((part) => part !== '' && part !== undefined);
  return new MountError('MOUNT_FAILED', parts.join('; '), { cause: error });
}
