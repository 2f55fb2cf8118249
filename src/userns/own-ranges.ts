// The subordinate ids of the user, wherever the machine keeps them.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { printable } from '../bytes.js';
import { debug } from '../debug.js';
import { systemCode } from '../errors.js';
import { USER_TABLE_LIMIT } from '../limits.js';
import { loginNames, subordinateIds, subordinateIdService, type IdRange } from '../storage/subordinate-ids.js';
import { userNamespaceError } from './error.js';

const run = promisify(execFile);
/** Milliseconds. A service that asks the network may take its time. */
const PATIENCE = 30_000;

/**
 * The ranges that newuidmap and newgidmap let a user have, as podman has them: of the files in /etc, or of the service
 * that /etc/nsswitch.conf names instead, which getsubids asks.
 * @returns in the order of the source
 * @throws BridgeError `USER_NAMESPACE` when the user has none, or nobody can tell; the signal's reason
 */
export async function ownRanges(uid: number, kind: 'uid' | 'gid', signal?: AbortSignal): Promise<IdRange[]> {
  const service = subordinateIdService();
  const ranges = service === undefined ? subordinateIds(uid, kind) : await rangesOfService(service, uid, kind, signal);
  if (ranges.length > 0) return ranges;
  throw userNamespaceError(
    service === undefined
      ? `/etc/sub${kind} has no line for user ${uid}; root adds one by ` +
          `"usermod ${kind === 'uid' ? '-v' : '-w'} 100000-165535 LOGIN", with ids that no other line has`
      : `"${printable(service)}" has no subordinate ${kind}s for user ${uid}; /etc/nsswitch.conf says (subid:) that ` +
          `they are there, and not in /etc/sub${kind}`,
  );
}

/** Where the ranges come from, for messages. */
export function rangesSource(kind: 'uid' | 'gid'): string {
  const service = subordinateIdService();
  return service === undefined ? `/etc/sub${kind}` : `what "${printable(service)}" says by "getsubids"`;
}

/** Asks by name first, as podman does. */
async function rangesOfService(
  service: string,
  uid: number,
  kind: 'uid' | 'gid',
  signal: AbortSignal | undefined,
): Promise<IdRange[]> {
  for (const user of [...loginNames(uid), String(uid)]) {
    const ranges = await askGetsubids(service, user, kind, signal);
    debug(() => `user namespace: getsubids has ${ranges.length} ranges of ${kind}s for ${user} from ${service}`);
    if (ranges.length > 0) return ranges;
  }
  return [];
}

async function askGetsubids(
  service: string,
  user: string,
  kind: 'uid' | 'gid',
  signal: AbortSignal | undefined,
): Promise<IdRange[]> {
  const options = kind === 'gid' ? ['-g'] : [];
  try {
    const { stdout } = await run('getsubids', [...options, user], {
      signal,
      timeout: PATIENCE,
      maxBuffer: USER_TABLE_LIMIT,
    });
    return stdout.split('\n').flatMap((line) => {
      const [, first, count] = /^\d+: .* (\d{1,10}) (\d{1,10})$/.exec(line) ?? [];
      return first === undefined ? [] : [{ first: Number(first), count: Number(count) }];
    });
  } catch (error) {
    signal?.throwIfAborted();
    if (systemCode(error) !== undefined)
      throw userNamespaceError(
        `subordinate ids come from "${printable(service)}", as /etc/nsswitch.conf says (subid:), and getsubids, ` +
          'which asks for them, is not installed: the package uidmap has it (Debian, Ubuntu), or shadow-utils-subid ' +
          '(Fedora)',
        { cause: error },
      );
    if (error instanceof Error && 'killed' in error && error.killed === true)
      throw userNamespaceError(`getsubids, which asks "${printable(service)}", does not answer`, { cause: error });
    // It fails for users who have none, too.
    return [];
  }
}
