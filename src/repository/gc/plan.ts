import type { ByteString } from '../../bytes.js';
import type { Repository } from '../repository.js';
import { namesToRemove, type DeadNames } from './dead-names.js';
import { keepImagesInUse, type ImageInUse } from './images-in-use.js';
import { findLeftovers, type Leftover } from './leftovers.js';
import { listObjectTable, type ObjectListing } from './objects.js';
import { keepReferrers } from './referrers.js';
import { describedProblem, type GcProblem, type Note } from './problem.js';
import { collectRoots } from './roots.js';
import { Walk } from './walk.js';

/** What a garbage collection is going to remove, and what it noticed on the way. */
export interface GcPlan {
  /** All objects; those that stay are marked. */
  readonly objects: ObjectListing;
  readonly names: DeadNames;
  readonly leftovers: readonly Leftover[];
  readonly inUse: readonly ImageInUse[];
  readonly problems: readonly GcProblem[];
}

/**
 * Finds out what has to stay, and with that what goes. Changes nothing.
 * @param asked names of streams or images to keep besides those with refs
 * @throws BridgeError `GC_UNREADABLE`, `GC_INCOMPLETE`; the signal's reason
 */
export async function planCollection(
  repository: Repository,
  asked: readonly ByteString[],
  signal?: AbortSignal,
): Promise<GcPlan> {
  const problems: GcProblem[] = [];
  const note: Note = (kind, path, detail) => problems.push(describedProblem(kind, path, detail));
  const objects = await listObjectTable(repository, signal);
  const walk = new Walk(repository, objects.table, note, signal);
  const roots = collectRoots(repository, asked, note);
  for (const root of roots.roots) await walk.from(root);
  const inUse = await keepImagesInUse(repository, objects.table, walk);
  const deadReferrers = await keepReferrers(repository, objects.table, roots, walk, note);
  const names = namesToRemove(repository, objects.table, roots.names, deadReferrers, note);
  const leftovers = findLeftovers(repository, objects.foreign, note);
  return { objects, names, leftovers, inUse, problems };
}
