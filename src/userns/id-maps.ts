// Which ids of the machine the ids of a user namespace stand for; user_namespaces(7).
import type { IdRange } from '../storage/subordinate-ids.js';
import { ownRanges } from './own-ranges.js';

/** A line of uid_map or gid_map. */
export interface IdMapLine {
  /** first id in the namespace */
  inside: number;
  /** first id outside of it */
  outside: number;
  count: number;
}

/** What ids of users and groups are in a namespace. */
export interface IdMaps {
  uid: IdMapLine[];
  gid: IdMapLine[];
}

/** The user that a namespace is for, as the system knows them. */
export interface User {
  uid: number;
  gid: number;
}

/**
 * The maps that podman gives a user: root is the user, and all subordinate ids follow, the lowest first. A store keeps
 * ids as they are on the disk and no maps, so that other ones would make other users of them.
 * Source: containers/storage pkg/idtools.
 * @throws BridgeError `USER_NAMESPACE` when the user has none; the signal's reason
 */
export async function podmanMaps({ uid, gid }: User, signal?: AbortSignal): Promise<IdMaps> {
  const ranges = { uid: await ownRanges(uid, 'uid', signal), gid: await ownRanges(uid, 'gid', signal) };
  return { uid: mapOf(uid, ranges.uid), gid: mapOf(gid, ranges.gid) };
}

function mapOf(own: number, ranges: readonly IdRange[]): IdMapLine[] {
  const lines: IdMapLine[] = [{ inside: 0, outside: own, count: 1 }];
  let inside = 1;
  for (const { first, count } of [...ranges].sort((a, b) => a.first - b.first)) {
    lines.push({ inside, outside: first, count });
    inside += count;
  }
  return lines;
}

/** Reads /proc/PID/uid_map or gid_map. */
export function parseIdMap(text: string): IdMapLine[] {
  return text
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => {
      const [inside = NaN, outside = NaN, count = NaN] = line.trim().split(/\s+/).map(Number);
      return { inside, outside, count };
    });
}

/** The map as newuidmap(1) and newgidmap(1) take it, and for comparison. */
export function idMapWords(map: readonly IdMapLine[]): string[] {
  return map.flatMap(({ inside, outside, count }) => [inside, outside, count].map(String));
}
