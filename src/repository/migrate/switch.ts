// The moment in which a repository changes its algorithm: what was built beside it takes its place, and a kill in
// between is made up for by whoever opens the repository next.
//
//   REPOSITORY/migrating/new/   the new repository, complete when the switch begins
//   REPOSITORY/migrating/old/   what it replaced
//
// Meanwhile meta.json has an incompatible feature, so that no program takes half of one and half of the other for a
// repository.
import { fsyncSync } from 'node:fs';
import { BridgeError } from '../../errors.js';
import { isErrno, type Fd } from '../../fd/fd.js';
import { removeTree } from '../../fd/remove-tree.js';
import { files } from '../../native.js';
import { makeDirectories } from '../links.js';
import { replaceMeta } from '../meta-file.js';
import type { Meta } from '../meta.js';
import { IMAGES, META, MIGRATING, OBJECTS, STREAMS, VERIFIED } from '../names.js';

export const NEW = 'new';
const OLD = 'old';
/** All that depends on the algorithm, besides meta.json. */
export const MIGRATED_AREAS = [OBJECTS, STREAMS, IMAGES, VERIFIED] as const;
const FEATURE = 'cfsbridge_migrating';

/** Whether a switch began and did not end. */
export function isSwitching(meta: Meta): boolean {
  return meta.features.incompatible.includes(FEATURE);
}

/**
 * Puts the new repository in the place of the old one. Needs the repository to ourselves, and everything new on the
 * disk.
 * @param meta of the old repository
 * @param secure whether the old one requires fs-verity
 */
export function switchRepository(root: Fd, path: string, meta: Meta, secure: boolean): void {
  {
    using work = makeDirectories(root, MIGRATING);
    removeTree(work, OLD);
  }
  const { features } = meta;
  replaceMeta(
    root,
    path,
    { ...meta, features: { ...features, incompatible: [...features.incompatible, FEATURE] } },
    secure,
  );
  finishSwitch(root, path);
}

/**
 * Does what is left of a switch. Needs the repository to ourselves.
 * @param path of the repository, for messages
 */
export function finishSwitch(root: Fd, path: string): void {
  // Each folder is opened once, as it is now: what is put in the place of one meanwhile leads nowhere.
  using work = makeDirectories(root, MIGRATING);
  using made = makeDirectories(work, NEW);
  using old = makeDirectories(work, OLD);
  for (const area of MIGRATED_AREAS) {
    if (!exists(made, area)) continue;
    if (exists(root, area)) files.renameat2(root.number, area, old.number, area, 0);
    files.renameat2(made.number, area, root.number, area, 0);
  }
  if (!exists(made, META))
    throw new BridgeError(
      'MIGRATION_BROKEN',
      `a migration of ${path} was interrupted, and its meta.json is gone from ${MIGRATING}/${NEW}`,
    );
  fsyncSync(root.number);
  files.renameat2(made.number, META, root.number, META, 0);
  fsyncSync(root.number);
}

/** Removes what an unfinished migration left, or the old repository after a finished one. */
export function removeMigration(root: Fd): void {
  removeTree(root, MIGRATING);
}

/** Whether there is anything to remove. */
export function hasMigration(root: Fd): boolean {
  return exists(root, MIGRATING);
}

function exists(folder: Fd, name: string): boolean {
  try {
    files.fstatat(folder.number, name);
    return true;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return false;
    throw error;
  }
}
