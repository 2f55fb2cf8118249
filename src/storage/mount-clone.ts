import { constants, existsSync, realpathSync } from 'node:fs';
import { bytesOf, showBytes, type ByteString } from '../bytes.js';
import { debug } from '../debug.js';
import { Fd, isErrno, openDirectoryPath, openIn, type OpenDir } from '../fd/fd.js';
import { linesOf } from '../fd/read-whole.js';
import { KERNEL_LINE_LIMIT } from '../limits.js';
import { AT_FDCWD, files } from '../native.js';
import type { StoreOptions } from './store.js';

/** One line of /proc/self/mountinfo. */
interface Mount {
  id: bigint;
  device: string;
  /** the directory of the filesystem that is mounted */
  root: ByteString;
  point: ByteString;
}

/** A directory as its filesystem sees it, whatever is mounted where. */
interface Located {
  path: ByteString;
  inside: ByteString;
  device: string;
}

/**
 * Two directories of one filesystem seen through one mount, so that a hard link from one to the other works.
 * While podman runs, the directory with the layers is bind-mounted on itself: link(2) then refuses with EXDEV, although
 * the filesystem is the same. A clone of the mount below has no such mounts on it.
 */
export class MountClone implements Disposable {
  readonly #clone: Fd;
  /** path within the filesystem of the clone's root */
  readonly #base: ByteString;
  readonly #located: readonly Located[];

  private constructor(clone: Fd, base: ByteString, located: readonly Located[]) {
    this.#clone = clone;
    this.#base = base;
    this.#located = located;
  }

  /**
   * Clones the mount that shows both directories.
   * @param first absolute path of a directory
   * @param second absolute path of a directory
   * @returns undefined when a clone is of no use (one mount already, or two filesystems) or not possible (no
   * CAP_SYS_ADMIN, no mount that shows both)
   */
  static between(first: ByteString, second: ByteString): MountClone | undefined {
    const mounts = readMounts();
    const [a, b] = [locate(first, mounts), locate(second, mounts)];
    if (!a || !b || a.mount === b.mount || a.device !== b.device || a.dev !== b.dev) {
      const why =
        !a || !b
          ? 'a mount cannot be told'
          : a.mount === b.mount
            ? 'one mount shows both'
            : `file systems ${a.device} and ${b.device} differ`;
      debug(() => `mounts: ${showBytes(first)} and ${showBytes(second)}: no clone, ${why}`);
      return undefined;
    }
    const base = commonParent(a.inside, b.inside);
    const candidates = mounts.filter(({ device, root }) => device === a.device && isBelow(base, root));
    for (const mount of candidates) {
      using clone = cloneTree(join(mount.point, below(base, mount.root)));
      if (!clone) continue;
      const shown = [a, b].every((located) => shows(clone, base, located));
      if (shown) {
        debug(
          () =>
            `mounts: ${showBytes(first)} and ${showBytes(second)}: through a clone of ${showBytes(mount.point)}, ` +
            'so that hardlinks work',
        );
        return new MountClone(clone.move(), base, [a, b]);
      }
    }
    debug(
      () =>
        `mounts: ${showBytes(first)} and ${showBytes(second)} are of one file system and not of one mount: no ` +
        'mount that shows both can be cloned',
    );
    return undefined;
  }

  /**
   * The clone that links from a store into a repository need, if any: only the overlay driver mounts its directory on
   * itself. To be used as `openDir` of the store and to open the repository.
   * @param repository absolute path of an existing directory
   */
  static forStore(store: StoreOptions, repository: string): MountClone | undefined {
    const trees = `${store.imagestore ?? store.graphroot}/overlay`;
    if (store.driver === 'vfs' || !existsSync(trees)) return undefined;
    return MountClone.between(bytesOf(trees), bytesOf(repository));
  }

  /**
   * Opens a directory at or below one of the two, inside the clone; others, and what is not the same there, as they
   * are.
   */
  readonly openDir: OpenDir = (path) => {
    using direct = openDirectoryPath(path);
    const real = realpath(path);
    const located = this.#located.find((candidate) => isBelow(real, candidate.path));
    if (!located) return direct.move();
    using cloned = openInside(this.#clone, this.#base, join(located.inside, below(real, located.path)));
    return cloned && sameFile(cloned, direct) ? cloned.move() : direct.move();
  };

  /** Directories opened through the clone stay usable. */
  close(): void {
    this.#clone.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function locate(path: ByteString, mounts: readonly Mount[]): (Located & { mount: bigint; dev: bigint }) | undefined {
  using dir = openDirectoryPath(path);
  const id = files.mountId(dir.number);
  const mount = mounts.find((candidate) => candidate.id === id);
  const real = realpath(path);
  if (!mount || !isBelow(real, mount.point)) return undefined;
  return {
    path: real,
    inside: join(mount.root, below(real, mount.point)),
    device: mount.device,
    mount: id,
    dev: dir.stat().dev,
  };
}

function shows(clone: Fd, base: ByteString, { path, inside }: Located): boolean {
  using direct = openDirectoryPath(path);
  using cloned = openInside(clone, base, inside);
  return cloned !== undefined && sameFile(cloned, direct);
}

function openInside(clone: Fd, base: ByteString, inside: ByteString): Fd | undefined {
  try {
    return openIn(clone, below(inside, base) || '.', constants.O_RDONLY | constants.O_DIRECTORY);
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return undefined;
    throw error;
  }
}

function cloneTree(path: ByteString): Fd | undefined {
  try {
    return new Fd(files.openTree(AT_FDCWD, path));
  } catch (error) {
    // A candidate may be hidden by later mounts, and the call is not for everybody.
    if (isErrno(error, 'EPERM', 'EACCES', 'ENOSYS', 'ENOENT', 'ENOTDIR', 'EINVAL')) return undefined;
    throw error;
  }
}

/** Fields: id, parent, device, root, mount point; spaces and the like are written as octal escapes. */
function readMounts(): Mount[] {
  const unescape = (field: string): string =>
    field.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(parseInt(digits, 8)));
  return [...linesOf('/proc/self/mountinfo', KERNEL_LINE_LIMIT)].flatMap((line) => {
    const [id, , device, root, point] = line.split(' ');
    return id && device && root && point
      ? [{ id: BigInt(id), device, root: unescape(root), point: unescape(point) }]
      : [];
  });
}

function sameFile(a: Fd, b: Fd): boolean {
  const [x, y] = [a.stat(), b.stat()];
  return x.dev === y.dev && x.ino === y.ino;
}

function realpath(path: ByteString): ByteString {
  return realpathSync.native(Buffer.from(path, 'latin1'), 'buffer').toString('latin1');
}

function isBelow(path: ByteString, parent: ByteString): boolean {
  return path === parent || path.startsWith(parent === '/' ? '/' : `${parent}/`);
}

/** What is left of `path` below `parent`, without a slash at either end. */
function below(path: ByteString, parent: ByteString): ByteString {
  return path.slice(parent === '/' ? 1 : parent.length + 1);
}

function join(parent: ByteString, rest: ByteString): ByteString {
  if (rest === '') return parent;
  return parent === '/' ? `/${rest}` : `${parent}/${rest}`;
}

function commonParent(a: ByteString, b: ByteString): ByteString {
  const [x, y] = [a.split('/'), b.split('/')];
  let count = 0;
  while (count < x.length && count < y.length && x[count] === y[count]) count++;
  return x.slice(0, count).join('/') || '/';
}
