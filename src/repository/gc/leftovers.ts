// What killed programs left behind half-made. With the repository to ourselves nobody works on it any more.
import { constants } from 'node:fs';
import type { ByteString } from '../../bytes.js';
import { entryType, listDirectory } from '../links.js';
import { hasMigration } from '../migrate/switch.js';
import { belowObjects, isStaging, isTemporaryLink, isTemporaryObject, MIGRATING, PARTS, PUSH_NOTES } from '../names.js';
import { isAbandoned } from '../private-folder.js';
import type { Repository } from '../repository.js';
import { isInUse } from '../staging.js';
import { orIncomplete } from './incomplete.js';
import type { Note } from './problem.js';

/** One file, or a folder with all that is in it. */
export interface Leftover {
  readonly path: ByteString;
  readonly isFolder: boolean;
}

/**
 * @param foreign paths of what lies among the objects and is none; reported, unless it is left over
 * @throws BridgeError `GC_INCOMPLETE` when a folder cannot be read
 */
export function findLeftovers({ root }: Repository, foreign: readonly ByteString[], note: Note): Leftover[] {
  return orIncomplete(() => {
    const entries = listDirectory(root, '');
    const links = entries.filter((name) => isTemporaryLink(name) && entryType(root, name) === constants.S_IFLNK);
    const objects = foreign.filter(
      (path) => isTemporaryObject(belowObjects(path) ?? '') && entryType(root, path) === constants.S_IFREG,
    );
    for (const path of foreign) if (!objects.includes(path)) note('foreign-file', path);
    const stagings = entries.filter((name) => isStaging(name) && !isInUse(root, name));
    const notes = [PARTS, PUSH_NOTES].filter((name) => isAbandoned(root, name));
    const migration = hasMigration(root) ? [MIGRATING] : [];
    return [
      ...[links, objects].flat().map((path) => ({ path, isFolder: false })),
      ...[stagings, notes, migration].flat().map((path) => ({ path, isFolder: true })),
    ];
  });
}
