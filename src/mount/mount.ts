import { constants, mkdtempSync, rmdirSync, statfsSync } from 'node:fs';
import { release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { bytesOf, type ByteString } from '../bytes.js';
import { isErrno, openPath, type Fd } from '../fd/fd.js';
import { FsContext, mountError, mounts } from './fs-context.js';

/** Directories that lie over a mounted image and take what is written to it; both on one filesystem. */
export interface UpperLayer {
  upper: Fd;
  work: Fd;
}

export interface MountOptions {
  /** What /proc/self/mountinfo shows after `composefs:`; usually the image's digest. */
  name: string;
  /** Let the kernel refuse every file whose object does not have the fs-verity digest the image records. */
  requireVerity: boolean;
  upper?: UpperLayer | undefined;
  /** A user namespace: files belong to whom it maps their owners to, as in a container that runs in it. */
  idmap?: Fd | undefined;
  /** Allow writing, which needs `upper`. */
  readWrite: boolean;
  /** The maker of the image is not believed: neither setuid programs nor device files of it work. */
  noSuidNoDev?: boolean;
}

const O_PATH = 0x200000;

/**
 * Mounts a composefs image, attached nowhere yet: the EROFS image as an overlay layer, with the repository's
 * `objects` folder as the data-only layer beneath it.
 *
 * Neither a loop device nor a path is involved, except on kernels before 6.15, where overlay takes only layers that are
 * attached: there the EROFS mount passes through a temporary directory.
 * @param image the EROFS image, open for reading
 * @param objects the repository's `objects` folder
 * @returns the mount; it goes away when this is closed without `attachMount`
 * @throws MountError
 */
export function mountImage(image: Fd, objects: Fd, options: MountOptions): Fd {
  using lower = mountErofs(image);
  if (options.idmap) mapOwners(lower, options.idmap);
  try {
    return mountOverlay(procPath(lower), objects, options);
  } catch (error) {
    if (!(error instanceof Error && isErrno(error.cause, 'EINVAL'))) throw error;
    return whileAttached(lower, (path) => mountOverlay(path, objects, options));
  }
}

/**
 * Attaches a mount to a directory. The path is the user's; symlinks are followed.
 * @example
 * ```ts
 * import { constants, openSync } from 'node:fs';
 * import { attachMount, bytesOf, Fd, inspectImage, mountStored, openImage, Repository } from 'composefs-bridge';
 *
 * using repository = await Repository.open('/var/lib/images');
 * const { erofs = '' } = inspectImage(repository, await openImage(repository, 'debian'));
 * using upper = new Fd(openSync('/srv/upper', constants.O_DIRECTORY));
 * using work = new Fd(openSync('/srv/work', constants.O_DIRECTORY));
 * using mount = mountStored(repository, erofs, { upper: { upper, work }, readWrite: true });
 * attachMount(mount, bytesOf('/mnt'));
 * ```
 */
export function attachMount(mount: Fd, mountpoint: ByteString): void {
  using target = openPath(mountpoint, O_PATH | constants.O_DIRECTORY);
  try {
    mounts.moveMount(mount.number, target.number);
  } catch (error) {
    throw mountError(`attaching to ${mountpoint}`, error, [], {});
  }
}

/** Mounts an EROFS image straight from its file, read-only and attached nowhere. */
export function mountErofs(image: Fd): Fd {
  using context = new FsContext('erofs', 'the kernel has no EROFS (CONFIG_EROFS_FS; try modprobe erofs)');
  context.set('ro', undefined);
  context.set('source', procPath(image));
  return context.mount(true, {
    ENOTBLK: whyNotFromFile(image),
    EINVAL: 'this is no EROFS image the kernel knows, or its filesystem cannot back a mount',
  });
}

/** File systems of which no file can be the source of a mount: their files are not read by pages. */
const WITHOUT_PAGES = new Map([
  [0x794c7630, 'overlayfs'],
  [0x01021994, 'tmpfs'],
]);

/**
 * The kernel has one error for a kernel that is too old, one without the feature, and a file that cannot be the source.
 */
function whyNotFromFile(image: Fd): string {
  const { type } = statfsSync(procPath(image));
  const name = WITHOUT_PAGES.get(type);
  if (name !== undefined)
    return (
      `the image lies on ${name}, from whose files the kernel cannot mount; the repository has to be on a file ` +
      'system with a disk, such as ext4, xfs or btrfs'
    );
  const [major = 0, minor = 0] = release().split('.').map(Number);
  if (major < 6 || (major === 6 && minor < 12))
    return (
      `Linux ${release()} cannot mount EROFS from a file; that needs Linux 6.12 with ` +
      'CONFIG_EROFS_FS_BACKED_BY_FILE'
    );
  return (
    'the kernel cannot mount EROFS from this file: it was built without CONFIG_EROFS_FS_BACKED_BY_FILE, or the ' +
    'file system that the image lies on does not allow it'
  );
}

/**
 * Only the image is mapped, as containers' tools do it: what is written goes to the upper layer with the owners that
 * are seen.
 */
function mapOwners(mount: Fd, userNamespace: Fd): void {
  try {
    mounts.idmapMount(mount.number, userNamespace.number);
  } catch (error) {
    throw mountError('mapping owners', error, [], {
      EINVAL:
        'the kernel cannot map the owners of an EROFS mount (needs Linux 6.2), or this is not a user namespace ' +
        'like /proc/PID/ns/user',
      EBADF: 'this is not a user namespace like /proc/PID/ns/user',
      EPERM: 'this needs CAP_SYS_ADMIN in the initial user namespace, and another user namespace than that to map to',
      ENOSYS: 'the kernel cannot map owners (needs Linux 6.2)',
    });
  }
}

/** Calls `use` with a path at which the mount is attached for that long. */
export function whileAttached<T>(mount: Fd, use: (path: ByteString) => T): T {
  const dir = mkdtempSync(join(tmpdir(), 'cfsbridge-mount-'));
  try {
    attachMount(mount, bytesOf(dir));
    try {
      return use(bytesOf(dir));
    } finally {
      mounts.detachMount(bytesOf(dir));
    }
  } finally {
    rmdirSync(dir);
  }
}

function mountOverlay(
  lower: ByteString,
  objects: Fd,
  { name, requireVerity, upper, readWrite, noSuidNoDev }: MountOptions,
): Fd {
  using context = new FsContext('overlay', 'the kernel has no overlayfs (CONFIG_OVERLAY_FS; try modprobe overlay)');
  context.set('source', bytesOf(`composefs:${name}`));
  context.set('metacopy', 'on');
  context.set('redirect_dir', 'on');
  if (requireVerity)
    context.set('verity', 'require', {
      EINVAL: 'overlayfs cannot check fs-verity (needs Linux 6.6 with CONFIG_FS_VERITY)',
    });
  context.set('lowerdir', `${lower}::${procPath(objects)}`, {
    EINVAL: 'this needs overlayfs with data-only layers (Linux 6.5)',
  });
  if (upper) {
    context.set('upperdir', procPath(upper.upper));
    context.set('workdir', procPath(upper.work));
  }
  return context.mount(
    !readWrite,
    {
      EINVAL: upper
        ? 'upper and work directory must be empty of other mounts, on one filesystem that has trusted xattrs, and ' +
          'no overlay themselves'
        : 'overlayfs does not take these layers',
      ELOOP: 'the repository lies on too many stacked overlays',
    },
    noSuidNoDev,
  );
}

function procPath(fd: Fd): ByteString {
  return `/proc/self/fd/${fd.number}`;
}
