// The moment in which a repository changes its algorithm: what was built beside it takes its place, and a kill in between
// is made up for by whoever opens the repository next.
//
//   REPOSITORY/migrating/new/   the new repository, complete when the switch begins
//   REPOSITORY/migrating/old/   what it replaced
//
// Meanwhile meta.json has an incompatible feature, so that no program takes half of one and half of the other for a repository.
import { constants, fsyncSync, rmSync } from 'node:fs';
import { BridgeError } from '../errors.js';
import { isErrno, openBeneath, type Fd } from '../fd/fd.js';
import { files } from '../native.js';
import { makeDirectories } from './links.js';
import { replaceMeta } from './meta-file.js';
import type { Meta } from './meta.js';

/** Where a migration keeps its work, below the repository. */
export const FOLDER = 'migrating';
export const NEW = `${FOLDER}/new`;
const OLD = `${FOLDER}/old`;
/** All that depends on the algorithm, besides meta.json. */
export const MIGRATED_AREAS = ['objects', 'streams', 'images', 'verified'] as const;
const FEATURE = 'cfsbridge_migrating';

/** Whether a switch began and did not end. */
export function isSwitching(meta: Meta): boolean {
  return meta.features.incompatible.includes(FEATURE);
}

/**
 * Puts the new repository in the place of the old one. Needs the repository to ourselves, and everything new on the disk.
 * @param meta of the old repository
 * @param secure whether the old one requires fs-verity
 */
export function switchRepository(root: Fd, path: string, meta: Meta, secure: boolean): void {
  removeFolder(root, OLD);
  const { features } = meta;
  replaceMeta(root, path, { ...meta, features: { ...features, incompatible: [...features.incompatible, FEATURE] } }, secure);
  finishSwitch(root, path);
}

/**
 * Does what is left of a switch. Needs the repository to ourselves.
 * @param path of the repository, for messages
 */
export function finishSwitch(root: Fd, path: string): void {
  makeDirectories(root, OLD).close();
  for (const area of MIGRATED_AREAS) {
    if (!exists(root, `${NEW}/${area}`)) continue;
    if (exists(root, area)) move(root, area, `${OLD}/${area}`);
    move(root, `${NEW}/${area}`, area);
  }
  if (!exists(root, `${NEW}/meta.json`)) throw new BridgeError('MIGRATION_BROKEN', `a migration of ${path} was interrupted, and its meta.json is gone from ${NEW}`);
  fsyncSync(root.number);
  move(root, `${NEW}/meta.json`, 'meta.json');
  fsyncSync(root.number);
}

/** Removes what an unfinished migration left, or the old repository after a finished one. */
export function removeMigration(root: Fd): void {
  removeFolder(root, FOLDER);
}

/** Whether there is anything to remove. */
export function hasMigration(root: Fd): boolean {
  return exists(root, FOLDER);
}

function removeFolder(root: Fd, folder: string): void {
  rmSync(`/proc/self/fd/${root.number}/${folder}`, { recursive: true, force: true });
}

function exists(root: Fd, path: string): boolean {
  try {
    openBeneath(root, path, constants.O_RDONLY | constants.O_NONBLOCK).close();
    return true;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return false;
    throw error;
  }
}

function move(root: Fd, from: string, to: string): void {
  files.renameat2(root.number, from, root.number, to, 0);
}
