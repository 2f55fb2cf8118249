import { KERNEL_FILE_LIMIT } from '../limits.js';
import { readWhole } from './read-whole.js';

/** The id that the kernel shows for every owner who has none in this user namespace; see user_namespaces(7). */
const OVERFLOW_UID = 65534;

/**
 * Whether a user is root or the one this process acts as: the only two whose files, sockets and symlinks may be
 * believed. An owner without an id in this user namespace is a stranger, also to a process that runs as the user of the
 * overflow id.
 * @param uid of a peer (SO_PEERCRED) or of a file's owner (lstat, fstat)
 */
export function isRootOrSelf(uid: number): boolean {
  return uid === 0 || (uid === process.geteuid?.() && isMapped(uid));
}

let overflowMapped: boolean | undefined;

/**
 * Whether this is a user of this namespace. The overflow id is one outside of all namespaces, and stands for everybody
 * without an id in most others.
 */
export function isMapped(uid: number): boolean {
  if (uid !== OVERFLOW_UID) return true;
  overflowMapped ??= readWhole('/proc/self/uid_map', KERNEL_FILE_LIMIT)
    .toString('latin1')
    .split('\n')
    .some((line) => {
      const [first, , count] = line.trim().split(/\s+/).map(Number);
      return first !== undefined && count !== undefined && uid >= first && uid < first + count;
    });
  return overflowMapped;
}

/** Root and, where it has an id of its own, the user this process acts as: those of whom `isRootOrSelf` is true. */
export function rootAndSelf(): number[] {
  return [0, process.geteuid?.() ?? 0].filter(isRootOrSelf);
}
