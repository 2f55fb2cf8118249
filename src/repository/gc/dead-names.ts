import { constants } from 'node:fs';
import type { ByteString } from '../../bytes.js';
import { FormatError } from '../../errors.js';
import type { ObjectId } from '../../fsverity/object-id.js';
import { followLink } from '../follow-link.js';
import { entryType, listDirectory, parseObjectTarget, readLink } from '../links.js';
import { AREAS, IMAGES, isName, pathOfName, STREAMS, VERIFIED } from '../names.js';
import type { Repository } from '../repository.js';
import { orIncomplete } from './incomplete.js';
import type { ObjectTable } from './objects.js';
import type { Note } from './problem.js';

/** Names that go, as paths. */
export interface DeadNames {
  /** Refs of artifacts whose subject goes, which go first. */
  readonly referrers: readonly ByteString[];
  readonly images: readonly ByteString[];
  readonly streams: readonly ByteString[];
  readonly verified: readonly ByteString[];
}

/**
 * The names of objects that no root reaches.
 * @param stay names that refs lead to, as paths
 * @param referrers go, too
 * @throws BridgeError `GC_INCOMPLETE` when a folder of names cannot be read
 */
export function namesToRemove(
  repository: Repository,
  table: ObjectTable,
  stay: ReadonlySet<ByteString>,
  referrers: readonly ByteString[],
  note: Note,
): DeadNames {
  const isKept = (id: ObjectId): boolean => table.isKept(table.find(id));
  const dead: Record<(typeof AREAS)[number] | typeof VERIFIED, ByteString[]> = {
    [IMAGES]: [],
    [STREAMS]: [],
    [VERIFIED]: [],
  };
  orIncomplete(() => {
    for (const area of [...AREAS, VERIFIED] as const) {
      for (const name of listDirectory(repository.root, area)) {
        const path = pathOfName(area, name);
        if ((area !== VERIFIED && !isName(name)) || stay.has(path)) continue;
        const verdict = judge(repository, path, isKept);
        if (verdict === 'goes') dead[area].push(path);
        else if (verdict !== 'stays') note('foreign-file', path, verdict);
      }
    }
  });
  return { referrers, ...dead };
}

/** What becomes of a name: `stays`, `goes`, or why it is not one of ours. */
function judge(repository: Repository, path: ByteString, isKept: (id: ObjectId) => boolean): string {
  if (entryType(repository.root, path) !== constants.S_IFLNK) return 'not a symlink';
  try {
    return isKept(parseObjectTarget(readLink(repository.root, path) ?? '', repository.algorithm)) ? 'stays' : 'goes';
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    return followLink(repository.root, path) === 'missing' ? 'goes' : 'does not lead to an object';
  }
}
