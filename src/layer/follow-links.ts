import type { ByteString } from '../bytes.js';
import { LINKS_LIMIT, LINK_TARGETS_LIMIT } from '../limits.js';

/** Where a path leads when the symlinks in it are followed. */
export interface Followed {
  /** names from the layer's root on, none of them a symlink, `.` or `..` */
  names: ByteString[];
  /** so many of them are where the last symlink led, and have to be there already */
  reached: number;
}

/**
 * Follows the symlinks of a path as the kernel does below a root that it cannot leave. A tar is unpacked in order:
 * after `lib -> usr/lib`, the entry `lib/plugin.so` of the same layer is the file `usr/lib/plugin.so`.
 * @param names of the path, without `.` and `..`
 * @param child what stands under a name: the target of a symlink, or a place to go on from
 * @returns undefined for a path with more links than the kernel follows
 */
export function followLinks<Place extends object>(
  names: readonly ByteString[],
  root: Place,
  child: (place: Place | undefined, name: ByteString) => Place | ByteString | undefined,
): Followed | undefined {
  const pending = names.toReversed();
  const found: { name: ByteString; place: Place | undefined }[] = [];
  let [own, reached, links, bytes] = [names.length, 0, 0, 0];
  for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
    const isOwn = pending.length < own;
    if (isOwn) own = pending.length;
    if (name === '..') {
      found.pop();
    } else if (name !== '' && name !== '.') {
      const next = child(found.length === 0 ? root : found.at(-1)?.place, name);
      if (typeof next === 'string') {
        bytes += next.length;
        if (++links > LINKS_LIMIT || bytes > LINK_TARGETS_LIMIT) return undefined;
        if (next.startsWith('/')) found.length = 0;
        pending.push(...next.split('/').reverse());
        continue;
      }
      found.push({ name, place: next });
    }
    if (!isOwn) reached = found.length;
  }
  return { names: found.map(({ name }) => name), reached };
}
