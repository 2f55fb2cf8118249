// What keeps ordinary users from having user namespaces.
import { isErrno } from '../fd/fd.js';
import { readWhole } from '../fd/read-whole.js';
import { KERNEL_FILE_LIMIT } from '../limits.js';

/** A setting of the kernel, the value by which it forbids, and what to do. */
const BANS = [
  {
    setting: 'kernel.apparmor_restrict_unprivileged_userns',
    forbids: (value: string) => value !== '0',
    says:
      'AppArmor lets only programs with a profile for it use user namespaces: run any podman command first, whose ' +
      'namespace is joined, put "podman unshare" in front, or let root set it to 0',
  },
  {
    setting: 'kernel.unprivileged_userns_clone',
    forbids: (value: string) => value === '0',
    says: 'only root may make user namespaces: let root set it to 1',
  },
  {
    setting: 'user.max_user_namespaces',
    forbids: (value: string) => value === '0',
    says: 'nobody may make user namespaces: let root set it to more, 15000 say',
  },
] as const;

/**
 * Which settings of the kernel forbid user namespaces, in words.
 * @param folder where the kernel shows its settings
 * @returns undefined when none does
 */
export function userNamespaceBan(folder = '/proc/sys'): string | undefined {
  const found = BANS.flatMap(({ setting, forbids, says }) => {
    const value = settingOf(`${folder}/${setting.replaceAll('.', '/')}`);
    return value !== undefined && forbids(value) ? [`${setting} is ${value}: ${says}`] : [];
  });
  return found.length > 0 ? found.join('; ') : undefined;
}

/** @returns undefined for one that this kernel does not have */
function settingOf(path: string): string | undefined {
  try {
    return readWhole(path, KERNEL_FILE_LIMIT).toString('latin1').trim();
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR', 'EACCES')) return undefined;
    throw error;
  }
}
