import { constants } from 'node:fs';
import type { ByteString } from '../bytes.js';
import { BridgeError, FormatError } from '../errors.js';
import { isErrno, openIn } from '../fd/fd.js';
import { loadNative } from '../native.js';
import { FAN_OUT, type ObjectListing } from './gc-objects.js';
import type { GcReport } from './gc-report.js';
import { AREAS } from './gc-roots.js';
import { entryType, listDirectory, openDirectory, parseObjectTarget, readLink, removeLink } from './links.js';
import { FOLDER, hasMigration, removeMigration } from './migrate-switch.js';
import type { Repository } from './repository.js';

interface Removed {
  count: number;
  bytes: number;
  refused: { name: ByteString; error: Error }[];
}

const { removeFiles } = loadNative<{ removeFiles(dir: number, names: Uint8Array, remove: boolean): Promise<Removed> }>();

const O_PATH = 0o10000000;
/** Directories that are worked on at the same time: as many as Node has threads for it. */
const PARALLEL = 4;
/** Names a program makes and renames or removes at once; with the repository to ourselves they are left over from a crash. */
const TEMPORARY_LINK = /^\.symlink-[0-9A-Za-z]{12}$/;
const TEMPORARY_OBJECT = /^\.tmp-object-[0-9A-Za-z]+$/;

/**
 * Removes, or with a dry run only counts, the names of objects that no root reaches. Afterwards no name leads to what
 * `sweepObjects` removes, so it may be interrupted anywhere.
 * @param roots names that refs lead to, as paths; they stay
 */
export function sweepNames(repository: Repository, { table }: ObjectListing, roots: ReadonlySet<ByteString>, report: GcReport): void {
  const pruned = { images: report.prunedImages, streams: report.prunedStreams, verified: report.prunedVerified };
  for (const area of [...AREAS, 'verified'] as const) {
    for (const name of listDirectory(repository.root, area)) {
      const path = `${area}/${name}`;
      if ((name === 'refs' && area !== 'verified') || roots.has(path)) continue;
      const verdict = judge(repository, path, (id) => table.isKept(table.find(id)));
      if (verdict === 'stays') continue;
      if (verdict !== 'goes') report.add('foreign-file', path, verdict);
      else if (report.dryRun || removeLink(repository.root, path)) pruned[area].push(path);
    }
  }
}

/** What becomes of a name: `stays`, `goes`, or why it is not one of ours. */
function judge(repository: Repository, path: ByteString, isKept: (id: ByteString) => boolean): string {
  if (entryType(repository.root, path) !== constants.S_IFLNK) return 'not a symlink';
  try {
    return isKept(parseObjectTarget(readLink(repository.root, path) ?? '', repository.algorithm)) ? 'stays' : 'goes';
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    return leadsNowhere(repository, path) ? 'goes' : 'does not lead to an object';
  }
}

function leadsNowhere(repository: Repository, path: ByteString): boolean {
  try {
    openIn(repository.root, path, O_PATH).close();
    return false;
  } catch (error) {
    return isErrno(error, 'ENOENT');
  }
}

/**
 * Removes, or with a dry run only counts, the objects that no root reaches.
 * @throws BridgeError `GC_INCOMPLETE` when the file system does not let anything be removed; the signal's reason. What was
 *   not removed stays for the next time
 */
export async function sweepObjects(repository: Repository, { table, ends }: ObjectListing, report: GcReport, signal?: AbortSignal): Promise<void> {
  let next = 0;
  const work = async (): Promise<void> => {
    for (let folder = next++; folder < FAN_OUT.length; folder = next++) {
      signal?.throwIfAborted();
      const names: ByteString[] = [];
      const end = ends[folder] as number;
      for (let index = folder === 0 ? 0 : (ends[folder - 1] as number); index < end; index++) {
        if (!table.isKept(index)) names.push(`${table.id(index).slice(2)}\0`);
      }
      if (names.length > 0) await sweepFolder(repository, `objects/${FAN_OUT[folder]}`, names, report);
    }
  };
  try {
    const ended = await Promise.allSettled(Array.from({ length: PARALLEL }, work));
    for (const end of ended) if (end.status === 'rejected') throw end.reason;
  } catch (error) {
    signal?.throwIfAborted();
    throw new BridgeError('GC_INCOMPLETE', `not everything could be removed: ${error instanceof Error ? error.message : String(error)}; the repository is sound, run gc again when the file system takes changes`, { cause: error });
  }
  report.kept = table.count - report.objects;
}

async function sweepFolder(repository: Repository, path: ByteString, names: readonly ByteString[], report: GcReport): Promise<void> {
  using dir = openDirectory(repository.root, path);
  const { count, bytes, refused } = await removeFiles(dir.number, Buffer.from(names.join(''), 'latin1'), !report.dryRun);
  report.objects += count;
  report.bytes += bytes;
  for (const { name, error } of refused) report.add('not-removed', `${path}/${name}`, error.message);
}

/** Removes what killed programs left behind half-made, and reports other files in `objects/`. Needs the repository to ourselves. */
export function sweepLeftovers(repository: Repository, { foreign }: ObjectListing, report: GcReport): void {
  const links = listDirectory(repository.root, '').filter((name) => TEMPORARY_LINK.test(name) && entryType(repository.root, name) === constants.S_IFLNK);
  const objects = foreign.filter((path) => TEMPORARY_OBJECT.test(path.slice('objects/'.length)) && entryType(repository.root, path) === constants.S_IFREG);
  for (const path of [...links, ...objects]) if (report.dryRun || removeLink(repository.root, path)) report.leftovers.push(path);
  if (hasMigration(repository.root)) {
    if (!report.dryRun) removeMigration(repository.root);
    report.leftovers.push(FOLDER);
  }
  for (const path of foreign) if (!objects.includes(path)) report.add('foreign-file', path);
}
