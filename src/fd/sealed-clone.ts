import { constants } from 'node:fs';
import { loadNative, files, type FdNumber } from '../native.js';
import { Fd, isErrno } from './fd.js';

const { restrictMount } = loadNative<{ restrictMount(mount: FdNumber, readOnly: boolean): void }>();

/**
 * A directory as a stranger may have it: through a mount of its own that is attached nowhere, read-only, nosuid and
 * nodev. On a descriptor of the directory itself, a client that may not even enter the folders above could make files
 * where everybody may, write into files that are open to all or its own, run setuid programs, and go up by `..`, which
 * ends here, at the mount's root.
 * @param directory stays the caller's
 * @returns undefined where it cannot be made: without CAP_SYS_ADMIN over this mount namespace, or before Linux 5.12
 */
export function sealedClone(directory: Fd): Fd | undefined {
  try {
    // Not recursive: what is mounted below belongs to nobody's layer.
    using mount = new Fd(files.openTree(directory.number, ''));
    restrictMount(mount.number, true);
    return new Fd(files.openat2(mount.number, '.', constants.O_RDONLY | constants.O_DIRECTORY, 0, 0));
  } catch (error) {
    if (isErrno(error, 'EPERM', 'EACCES', 'ENOSYS', 'EINVAL', 'ENOSPC')) return undefined;
    throw error;
  }
}

/**
 * Nothing run from a mount, which must be attached nowhere yet, gets another user's rights, and no device is opened
 * there.
 */
export function forbidSetuid(mount: Fd): void {
  restrictMount(mount.number, false);
}
