import { resolve } from 'node:path';
import { BridgeError } from '../errors.js';
import type { Fd } from '../fd/fd.js';
import { isMapped, isRootOrSelf } from '../fd/peer.js';

/** Folders of repositories whose owners are believed, with colons in between. */
export const TRUST_VARIABLE = 'CFSBRIDGE_TRUST';

/** Whether the environment says that the owner of this repository is believed. */
export function isTrustedFolder(path: string, environment: NodeJS.ProcessEnv = process.env): boolean {
  const folders = (environment[TRUST_VARIABLE] ?? '').split(':').filter((folder) => folder !== '');
  return folders.some((folder) => resolve(folder) === resolve(path));
}

/**
 * Whether the owner of a repository's folder is believed. One without an id here could be anybody, so that nobody can
 * trust them.
 */
export function isOwnerBelieved(root: Fd, trust: boolean): boolean {
  const { uid } = root.stat();
  return isRootOrSelf(uid) || (trust && isMapped(uid));
}

/** What is said to somebody who wants to rely on a repository of a stranger. */
export function dubiousOwnership(root: Fd, path: string): BridgeError {
  const { uid } = root.stat();
  const advice = isMapped(uid)
    ? `if you trust that user, name the folder in ${TRUST_VARIABLE}`
    : 'and has no owner with an id in this user namespace, so that nobody can tell whose it is';
  return new BridgeError(
    'DUBIOUS_OWNERSHIP',
    `${path} belongs to user ${uid} and neither to root nor to you${isMapped(uid) ? ':' : ','} ${advice}`,
  );
}
