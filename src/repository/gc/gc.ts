// Garbage collection: everything stays that a ref, a mount or a deployment leads to; the rest goes, names first. What
// goes is planned as a whole before anything is touched.
import type { Abortable } from '../../abortable.js';
import type { ByteString } from '../../bytes.js';
import { BridgeError } from '../../errors.js';
import type { Repository } from '../repository.js';
import { planCollection } from './plan.js';
import { measureObjects, removeLeftovers, removeNames, removeObjects } from './remove.js';
import { gcReport, type GcReport } from './report.js';

/** The signal ends the wait for others, or the work; the repository is sound at any moment. */
export interface GcOptions extends Abortable {
  /** Only find out what would be removed. */
  dryRun?: boolean;
  /** Names of streams or images to keep besides those with refs. */
  roots?: readonly ByteString[];
}

/**
 * Removes the objects that nothing leads to, and the names of such objects. Kept is what is reached from tags and other
 * refs, from `roots`, and from images that are mounted, deployed or open. Waits until nobody else uses the repository,
 * and keeps others out until it is disposed; a dry run does neither.
 *
 * Memory: about 75 bytes an object, and the tables of one splitstream.
 * @param repository opened for writing, unless this is a dry run; nothing else may use it meanwhile
 * @throws BridgeError `GC_UNREADABLE` when it cannot be known what has to stay (nothing was removed then),
 *   `GC_INCOMPLETE`, `REPOSITORY_READ_ONLY`; the signal's reason
 * @example
 * ```ts
 * import { collectGarbage, Repository } from 'composefs-bridge';
 *
 * using repository = await Repository.open('/var/lib/images', { write: true });
 * const { objects, bytes, problems } = await collectGarbage(repository, { signal: AbortSignal.timeout(600_000) });
 * console.log(objects, bytes, problems); // 0 0 []
 * ```
 */
export async function collectGarbage(
  repository: Repository,
  { dryRun = false, roots = [], signal }: GcOptions = {},
): Promise<GcReport> {
  if (dryRun) {
    const plan = await planCollection(repository, roots, signal);
    return gcReport(plan, plan, await measureObjects(repository, plan.objects, signal), dryRun);
  }
  if (!repository.writable) throw new BridgeError('REPOSITORY_READ_ONLY', 'the repository was opened for reading only');
  await repository.lockExclusive({ signal });
  const plan = await planCollection(repository, roots, signal);
  const names = await removeNames(repository, plan);
  const leftovers = removeLeftovers(repository, plan);
  const objects = await removeObjects(repository, plan.objects, signal);
  return gcReport(plan, { names, leftovers }, objects, dryRun);
}
