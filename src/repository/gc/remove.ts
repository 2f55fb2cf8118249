import type { ByteString } from '../../bytes.js';
import { BridgeError } from '../../errors.js';
import { isErrno } from '../../fd/fd.js';
import { removeTree } from '../../fd/remove-tree.js';
import { files, loadNative, type FdNumber } from '../../native.js';
import { openDirectory, removeLink } from '../links.js';
import { pathAmongObjects } from '../names.js';
import type { Repository } from '../repository.js';
import type { DeadNames } from './dead-names.js';
import { orIncomplete } from './incomplete.js';
import type { Leftover } from './leftovers.js';
import { FAN_OUT, type ObjectListing } from './objects.js';
import type { GcPlan } from './plan.js';
import { describedProblem, type GcProblem } from './problem.js';

interface FilesRemoved {
  count: number;
  bytes: number;
  refused: { name: ByteString; error: Error }[];
}

const { removeFiles } = loadNative<{
  removeFiles(dir: FdNumber, names: Uint8Array, remove: boolean): Promise<FilesRemoved>;
}>();

/** Directories that are worked on at the same time: as many as Node has threads for it. */
const PARALLEL = 4;
const AT_REMOVEDIR = 0x200;

/** Objects that are gone, or would be. */
export interface ObjectsRemoved {
  readonly count: number;
  /** of their lengths */
  readonly bytes: number;
  readonly problems: readonly GcProblem[];
}

/**
 * Removes the names that go. Afterwards none leads to what `removeObjects` removes, so it may be interrupted anywhere.
 * @returns those that were there
 * @throws BridgeError `GC_INCOMPLETE`
 */
export async function removeNames(repository: Repository, { names }: GcPlan): Promise<DeadNames> {
  const remove = (paths: readonly ByteString[]): ByteString[] =>
    paths.filter((path) => removeLink(repository.root, path));
  const removed = orIncomplete(() => {
    const referrers = remove(names.referrers);
    for (const path of referrers) removeEmptyFolder(repository, path.split('/').slice(0, -1));
    return {
      referrers,
      images: remove(names.images),
      streams: remove(names.streams),
      verified: remove(names.verified),
    };
  });
  // Names that led to objects must not come back after a power failure that the objects did not survive.
  if (Object.values(removed).some((paths) => paths.length > 0)) await repository.sync();
  return removed;
}

/** The folder of a subject's referrers goes with the last of them. */
function removeEmptyFolder(repository: Repository, path: readonly ByteString[]): void {
  using above = openDirectory(repository.root, path.slice(0, -1).join('/'));
  try {
    files.unlinkat(above.number, path.at(-1) ?? '', AT_REMOVEDIR);
  } catch (error) {
    if (!isErrno(error, 'ENOTEMPTY', 'ENOENT', 'ENOTDIR')) throw error;
  }
}

/** @returns those that were there @throws BridgeError `GC_INCOMPLETE` */
export function removeLeftovers({ root }: Repository, { leftovers }: GcPlan): Leftover[] {
  return orIncomplete(() =>
    leftovers.filter(({ path, isFolder }) => (isFolder ? removeTree(root, path) : removeLink(root, path))),
  );
}

/**
 * Removes the objects that are not marked.
 * @throws BridgeError `GC_INCOMPLETE` when the file system does not let anything be removed; the signal's reason. What
 *   was not removed stays for the next time
 */
export async function removeObjects(
  repository: Repository,
  objects: ObjectListing,
  signal?: AbortSignal,
): Promise<ObjectsRemoved> {
  return forUnmarked(repository, objects, (dir, names) => removeFiles(dir, names, true), signal);
}

/** What `removeObjects` would remove. @throws like that */
export async function measureObjects(
  repository: Repository,
  objects: ObjectListing,
  signal?: AbortSignal,
): Promise<ObjectsRemoved> {
  return forUnmarked(repository, objects, (dir, names) => removeFiles(dir, names, false), signal);
}

async function forUnmarked(
  repository: Repository,
  { table, ends }: ObjectListing,
  work: (dir: FdNumber, names: Uint8Array) => Promise<FilesRemoved>,
  signal: AbortSignal | undefined,
): Promise<ObjectsRemoved> {
  let count = 0;
  let bytes = 0;
  const problems: GcProblem[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let folder = next++; folder < FAN_OUT.length; folder = next++) {
      signal?.throwIfAborted();
      const names: ByteString[] = [];
      const end = ends[folder] as number;
      for (let index = folder === 0 ? 0 : (ends[folder - 1] as number); index < end; index++) {
        if (!table.isKept(index)) names.push(`${table.id(index).slice(2)}\0`);
      }
      if (names.length === 0) continue;
      const path = pathAmongObjects(FAN_OUT[folder] as string);
      using dir = openDirectory(repository.root, path);
      const done = await work(dir.number, Buffer.from(names.join(''), 'latin1'));
      count += done.count;
      bytes += done.bytes;
      for (const { name, error } of done.refused)
        problems.push(describedProblem('not-removed', `${path}/${name}`, error.message));
    }
  };
  try {
    const ended = await Promise.allSettled(Array.from({ length: PARALLEL }, worker));
    for (const end of ended) if (end.status === 'rejected') throw end.reason;
  } catch (error) {
    signal?.throwIfAborted();
    throw new BridgeError(
      'GC_INCOMPLETE',
      `not everything could be removed: ${error instanceof Error ? error.message : String(error)}; the ` +
        'repository is sound, run gc again when the file system takes changes',
      { cause: error },
    );
  }
  return { count, bytes, problems };
}
