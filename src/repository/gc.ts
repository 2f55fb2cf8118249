// Garbage collection: everything stays that a ref, a mount or a deployment leads to; the rest goes, names first.
import type { ByteString } from '../bytes.js';
import { isErrno } from '../fd/fd.js';
import { BridgeError } from '../errors.js';
import { deployedNames, isObjectOpen, mountedNames } from './gc-in-use.js';
import { listObjectTable, type ObjectListing, type ObjectTable } from './gc-objects.js';
import { Referrers } from './gc-referrers.js';
import { GcReport, type ImageUse } from './gc-report.js';
import { collectRoots } from './gc-roots.js';
import { sweepLeftovers, sweepNames, sweepObjects } from './gc-sweep.js';
import { Walk } from './gc-walk.js';
import type { ObjectId } from './object-id.js';
import type { Repository } from './repository.js';

export interface GcOptions {
  /** Only find out what would be removed. */
  dryRun?: boolean;
  /** Names of streams or images to keep besides those with refs. */
  roots?: readonly ByteString[];
  /** Ends the wait for others, or the work; the repository is sound at any moment. */
  signal?: AbortSignal;
}

/**
 * Removes the objects that nothing leads to, and the names of such objects. Kept is what is reached from tags and other refs,
 * from `roots`, and from images that are mounted, deployed or open. Waits until nobody else uses the repository, and
 * keeps others out until it is disposed; a dry run does neither.
 *
 * Memory: about 75 bytes an object, and the tables of one splitstream.
 * @param repository opened for writing, unless this is a dry run; nothing else may use it meanwhile
 * @throws BridgeError `GC_UNREADABLE` when it cannot be known what has to stay (nothing was removed then), `GC_INCOMPLETE`,
 *   `REPOSITORY_READ_ONLY`; the signal's reason
 */
export async function collectGarbage(repository: Repository, options: GcOptions = {}): Promise<GcReport> {
  const { signal } = options;
  const report = new GcReport(options.dryRun === true);
  if (!report.dryRun) {
    if (!repository.writable) throw new BridgeError('REPOSITORY_READ_ONLY', 'the repository was opened for reading only');
    await repository.lockExclusive(signal);
  }
  const listing = await listObjectTable(repository, signal);
  const walk = new Walk(repository, listing.table, report, signal);
  const found = collectRoots(repository, options.roots ?? [], report);
  for (const root of found.roots) await walk.from(root);
  await keepImagesInUse(repository, listing.table, walk, report);
  const referrers = new Referrers(repository, listing.table, found);
  await referrers.keep(walk, report);
  await sweep(repository, listing, found.names, referrers, report, signal);
  return report;
}

/** Keeps images that nothing names: those of deployments, and those somebody has open, which a mount does. */
async function keepImagesInUse(repository: Repository, table: ObjectTable, walk: Walk, report: GcReport): Promise<void> {
  const keep = async (id: ObjectId, by: (id: ObjectId) => ImageUse | undefined): Promise<void> => {
    const index = table.find(id);
    const use = index < 0 || table.isKept(index) ? undefined : by(id);
    if (use === undefined) return;
    report.inUse.push({ image: id, by: use });
    await walk.from({ id, area: 'images', path: `images/${id}` });
  };
  for (const name of deployedNames(repository)) await keep(name, () => 'deployed');
  const mounted = mountedNames();
  for (const name of new Set([...mounted, ...repository.listImages()])) {
    if (!/^[0-9a-f]+$/.test(name)) continue;
    await keep(name, (id) => {
      const open = isObjectOpen(repository, id);
      // Where the kernel does not say whether this very file is in use, a mounted image of the same digest counts.
      if (open === undefined) return mounted.has(id) ? 'mounted' : undefined;
      return open ? 'open' : undefined;
    });
  }
}

async function sweep(repository: Repository, listing: ObjectListing, roots: ReadonlySet<ByteString>, referrers: Referrers, report: GcReport, signal?: AbortSignal): Promise<void> {
  try {
    referrers.sweep(report);
    sweepNames(repository, listing, roots, report);
    // Names that led to objects must not come back after a power failure that the objects did not survive.
    if (!report.dryRun && report.prunedImages.length + report.prunedStreams.length + report.prunedVerified.length > 0) await repository.sync();
    sweepLeftovers(repository, listing, report);
  } catch (error) {
    if (!isErrno(error, 'EROFS', 'EIO', 'EPERM', 'EACCES', 'ENOSPC')) throw error;
    throw new BridgeError('GC_INCOMPLETE', `names could not be removed: ${error instanceof Error ? error.message : String(error)}; no object was removed`, { cause: error });
  }
  await sweepObjects(repository, listing, report, signal);
}
