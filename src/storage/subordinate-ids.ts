import { userInfo } from 'node:os';
import { BridgeError, systemCode } from '../errors.js';
import { isErrno } from '../fd/fd.js';
import { readWhole, UnfitFileError } from '../fd/read-whole.js';
import { USER_TABLE_LIMIT } from '../limits.js';

/** Ids of users or groups that somebody may use in user namespaces. */
export interface IdRange {
  first: number;
  count: number;
}

/**
 * The ranges of a user in /etc/subuid, or /etc/subgid: what the users and groups inside of rootless containers own on
 * the disk belongs to one of these. Where `subordinateIdService` says so, they mean nothing.
 * @returns in the order of the file
 */
export function subordinateIds(uid: number, kind: 'uid' | 'gid' = 'uid'): IdRange[] {
  return parseRanges(readIfThere(`/etc/sub${kind}`), new Set([String(uid), ...loginNames(uid)]));
}

/**
 * The service that has everybody's ranges instead of the files, as /etc/nsswitch.conf names it: `sss`, say.
 * Source: shadow lib/nss.c, which takes the first of a line, and no other.
 */
export function subordinateIdService(): string | undefined {
  const services = readIfThere('/etc/nsswitch.conf')
    .split('\n')
    .flatMap((line) => /^subid:\s*(\S+)/i.exec(line)?.[1] ?? []);
  return services[0] === 'files' ? undefined : services[0];
}

/**
 * Reads subuid(5) and subgid(5), which both name users.
 * @param users what its first field may be: the user's login name or number
 */
function parseRanges(text: string, users: ReadonlySet<string>): IdRange[] {
  return text.split('\n').flatMap((line) => {
    const [user = '', first = '', count = ''] = line.trim().split(':');
    // Root may not lend ids below 1: no range makes root's own files the user's.
    return users.has(user) && /^[1-9]\d{0,9}$/.test(first) && /^\d{1,10}$/.test(count)
      ? [{ first: Number(first), count: Number(count) }]
      : [];
  });
}

/** What a user is called: in /etc/passwd, or, for the user of this process, wherever users are kept. */
export function loginNames(uid: number): string[] {
  const names = readIfThere('/etc/passwd')
    .split('\n')
    .flatMap((line) => {
      const [name, , id] = line.split(':');
      return name && id === String(uid) ? [name] : [];
    });
  return names.length === 0 && uid === process.geteuid?.() ? ownName() : names;
}

function ownName(): string[] {
  try {
    return [userInfo().username];
  } catch (error) {
    // Nobody knows this user.
    if (systemCode(error) === undefined) throw error;
    return [];
  }
}

/**
 * Exported for the attack on it, which runs in a process of its own.
 * @throws BridgeError `BAD_CONFIG` for what no such table is
 * @public
 */
export function readIfThere(path: string): string {
  try {
    return readWhole(path, USER_TABLE_LIMIT).toString('utf8');
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return '';
    if (error instanceof UnfitFileError)
      throw new BridgeError(
        'BAD_CONFIG',
        `${path} ${error.message}; it says which ids belong to the owner of a store`,
        { cause: error },
      );
    throw error;
  }
}
