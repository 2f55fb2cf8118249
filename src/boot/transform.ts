import type { Directory } from '../tree/tree.js';
import { directoryAt } from './lookup.js';
import { labelByOwnPolicy, type ReadContent } from './selinux/own-policy.js';

/** What a bootable system has and mounts something else on. */
const EMPTIED = ['boot', 'sysroot'] as const;

/**
 * Turns a tree into the one a machine boots from, in place, as cfsctl 0.9.4 does: `/boot` and `/sysroot`, which must be
 * there, are emptied and get the mtime of `/usr`, and everything is labelled by the SELinux policy in `/etc/selinux`;
 * without a policy there are no labels.
 * @param read for the policy's files
 * @param timeLimit milliseconds that the policy's expressions may take in all
 * @throws FormatError `NOT_BOOTABLE` when a directory is missing, `SELINUX_POLICY` for a policy that cannot be read
 */
export function transformForBoot(root: Directory, read: ReadContent, timeLimit?: number): void {
  const usr = directoryAt(root, ['usr']);
  for (const name of EMPTIED) {
    const directory = directoryAt(root, [name]);
    directory.mtimeSec = usr.mtimeSec;
    directory.mtimeNsec = usr.mtimeNsec;
    directory.entries.clear();
  }
  labelByOwnPolicy(root, read, { timeLimit });
}
