// Makes a damaged repository whole again as far as its own content and the given sources allow.
import type { Abortable } from '../../abortable.js';
import { constants } from 'node:fs';
import { showBytes, type ByteString } from '../../bytes.js';
import { BridgeError } from '../../errors.js';
import { fetchObject } from '../../repository/fsck/fetch-object.js';
import { entryType, removeLink } from '../../repository/links.js';
import { layerOf, pathOfName, pathOfObject, STREAMS } from '../../repository/names.js';
import type { ObjectId } from '../../fsverity/object-id.js';
import type { ObjectFinding } from '../../repository/fsck/findings.js';
import { quarantine } from '../../repository/fsck/quarantine.js';
import type { Repository } from '../../repository/repository.js';
import { CommitRepair } from './commits.js';
import { fsckImages } from './fsck.js';
import { JsonFinder } from './find-json.js';
import { Health } from './health.js';
import { ImageRepair } from './image.js';
import { LayerRepair } from './layers.js';
import { describeLoss } from './loss.js';
import { foreignNames, imagesByDigest, removeDeadNames } from './names.js';
import { deadImages, deadReplaced, referredObjects, wrongObjects } from './references.js';
import type { AffectedImage, Quarantined, RepairReport } from './report.js';
import type { RepairSource } from './sources.js';

export interface RepairOptions extends Abortable {
  /** where right content may come from, see `openRepairSources`; what can be made anew is, without any */
  sources?: readonly RepairSource[] | undefined;
}

/**
 * Checks a repository and repairs what it finds: objects come from the sources or are rebuilt, and replace damaged ones
 * in one step after they were verified; names are restored. Only at the end does what is still damaged move into the
 * quarantine. So it may be stopped anywhere, and run again. Waits until nobody else uses the repository, and keeps
 * others out until it is disposed.
 * @param repository opened for writing
 * @throws BridgeError when the file system takes no more (nothing was moved then); the signal's reason
 * @example
 * ```ts
 * import { openRepairSources, repairRepository, Repository } from 'composefs-bridge';
 *
 * await using sources = await openRepairSources(['containers-storage:docker.io/library/debian:12', 'oci:/srv/layout']);
 * using repository = await Repository.open('/var/lib/images', { write: true });
 * const { ok, repaired } = await repairRepository(repository, { sources: sources.all });
 * console.log(ok, repaired); // true []
 * ```
 */
export async function repairRepository(
  repository: Repository,
  { sources = [], signal = new AbortController().signal }: RepairOptions = {},
): Promise<RepairReport> {
  for (const { repository: other, name } of sources)
    if (other !== undefined && isSame(repository, other))
      throw new BridgeError('SAME_REPOSITORY', `${name} is the repository to repair`);
  await repository.lockExclusive({ signal });
  const health = await Health.examine(repository, signal);
  for (const id of health.damaged.keys()) repository.objects.distrust(id);
  const quarantined = removeObstacles(repository, health);
  await fetchByDigest(repository, health, sources, signal);

  const layers = new LayerRepair(repository, health, sources, signal);
  const image = new ImageRepair(
    repository,
    health,
    new JsonFinder(repository, health, sources, signal),
    layers,
    signal,
  );
  const affected: AffectedImage[] = [];
  const layersOfImages = new Set<string>();
  for (const [digest, tags] of imagesByDigest(repository)) {
    const losses = await image.repair(digest);
    for (const loss of losses) if (loss.part === 'layer') layersOfImages.add(loss.digest);
    if (losses.length > 0)
      for (const name of tags.length > 0 ? tags : [`@${digest}`])
        affected.push({ image: name, problems: losses.map(describeLoss) });
  }
  for (const name of repository.listStreams()) {
    const digest = layerOf(name);
    if (digest === undefined) continue;
    const { loss } = await layers.repair(digest, []);
    if (loss !== undefined && !layersOfImages.has(digest))
      affected.push({ image: showBytes(pathOfName(STREAMS, name)), problems: [describeLoss(loss)] });
  }
  const commits = new CommitRepair(repository, health, sources, signal);
  affected.push(...(await commits.repair()));

  await repository.sync();
  for (const finding of health.stillDamaged()) moveObject(repository, finding, quarantined);
  const dead = [...deadReplaced(repository, health), ...deadImages(repository, health, image.superseded)];
  const removed = dead.filter((path) => removeLink(repository.root, path)).map(showBytes);
  removed.push(...removeDeadNames(repository, health, referredObjects(repository, health)).map(showBytes));
  await repository.sync();
  const check = await fsckImages(repository, undefined, { metadataOnly: true, signal });
  return {
    ok: check.ok && affected.length === 0,
    repaired: health.repaired,
    quarantined,
    removed,
    affected,
    sources: [...layers.problems, ...commits.problems],
    check,
  };
}

/** Moves away what lies where an object or a name belongs and can be none. */
function removeObstacles(repository: Repository, health: Health): Quarantined[] {
  const quarantined: Quarantined[] = [];
  for (const path of health.foreign) move(repository, path, 'no object', quarantined);
  for (const finding of health.damaged.values()) {
    if (entryType(repository.root, pathOfObject(finding.object)) !== constants.S_IFREG)
      moveObject(repository, finding, quarantined);
  }
  for (const [path, reason] of foreignNames(repository)) move(repository, path, reason, quarantined);
  return quarantined;
}

function moveObject(repository: Repository, finding: ObjectFinding, quarantined: Quarantined[]): void {
  const { kind, object, reason } = finding;
  move(repository, pathOfObject(object), reason === undefined ? kind : `${kind}: ${reason}`, quarantined);
}

function move(repository: Repository, path: ByteString, reason: string, quarantined: Quarantined[]): void {
  const to = quarantine(repository, path);
  if (to !== undefined) quarantined.push({ path: showBytes(path), to: showBytes(to), reason });
}

/** Takes objects from repositories that name them alike. What comes may refer to more. */
async function fetchByDigest(
  repository: Repository,
  health: Health,
  sources: readonly RepairSource[],
  signal: AbortSignal,
): Promise<void> {
  const alike = sources.flatMap(({ name, repository: other }) =>
    other?.algorithm === repository.algorithm ? [{ name, folder: other.objects.dir }] : [],
  );
  // An object may be right and only lack its fs-verity digest, or have the wrong owner or mode. A copy is right in
  // that, too; the file itself may be a container store's as well.
  const own = { name: 'itself', folder: repository.objects.dir };
  const tried = new Set<ObjectId>();
  for (
    let wrong = wrongObjects(repository, health);
    wrong.length > 0;
    wrong = wrongObjects(repository, health).filter((id) => !tried.has(id))
  ) {
    for (const id of wrong) {
      signal.throwIfAborted();
      tried.add(id);
      for (const { name, folder } of [
        ...((repository.verityRequired && health.damaged.has(id)) || health.unsafe.has(id) ? [own] : []),
        ...alike,
      ]) {
        if (!(await fetchObject(folder, repository.objects, id, signal))) continue;
        health.setRight(id, name);
        break;
      }
    }
  }
}

function isSame(a: Repository, b: Repository): boolean {
  const [one, other] = [a.root.stat(), b.root.stat()];
  return one.dev === other.dev && one.ino === other.ino;
}
