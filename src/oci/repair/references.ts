// What the objects of a repository refer to, as far as it is missing or damaged.
import type { ByteString } from '../../bytes.js';
import type { ObjectId } from '../../fsverity/object-id.js';
import { namedObjects, referencesOf } from '../../repository/object-graph/object-graph.js';
import { IMAGES, pathOfName, isReplacedPath } from '../../repository/names.js';
import type { Repository } from '../../repository/repository.js';
import type { Health } from './health.js';

/** Everything that is damaged, or referred to and missing. */
export function wrongObjects(repository: Repository, health: Health): ObjectId[] {
  const wanted = new Set([
    ...health.damaged.keys(),
    ...referredObjects(repository, health),
    ...[...namedObjects(repository)].map(([, id]) => id),
  ]);
  return [...wanted].filter((id) => !health.isRight(id));
}

/** Objects that are not right and that something refers to which is. */
export function referredObjects(repository: Repository, health: Health): Set<ObjectId> {
  const wrong = new Set<ObjectId>();
  const seen = new Set<ObjectId>();
  const pending = [...namedObjects(repository)].map(([, id]) => id);
  for (let id = pending.pop(); id !== undefined; id = pending.pop()) {
    if (seen.has(id) || !health.isRight(id)) continue;
    seen.add(id);
    const { files, named } = referencesOf(repository, id);
    for (const ref of health.wrongOf(files, repository.algorithm)) wrong.add(ref);
    for (const ref of named) if (!health.isRight(ref)) wrong.add(ref);
    pending.push(...named);
  }
  return wrong;
}

/**
 * Names of replaced streams that refer to what is lost and that no other stream needs: the streams in their place are
 * whole.
 * @returns paths
 */
export function deadReplaced(repository: Repository, health: Health): ByteString[] {
  const named = [...namedObjects(repository)].filter(([, id]) => health.isRight(id));
  const needed = new Set(
    named.filter(([path]) => !isReplacedPath(path)).flatMap(([, id]) => referencesOf(repository, id).named),
  );
  return named
    .filter(([path, id]) => {
      if (!isReplacedPath(path) || needed.has(id)) return false;
      const { files, named } = referencesOf(repository, id);
      return health.wrongOf(files, repository.algorithm).length > 0 || named.some((ref) => !health.isRight(ref));
    })
    .map(([path]) => path);
}

/**
 * Names of images that others took the place of, that refer to what is lost, and that no ref stands for.
 * @returns paths
 */
export function deadImages(repository: Repository, health: Health, superseded: readonly ObjectId[]): ByteString[] {
  const asked = new Set(repository.listRefs(IMAGES).map((ref) => repository.readRef(IMAGES, ref)));
  return superseded
    .filter(
      (id) => !asked.has(id) && health.wrongOf(referencesOf(repository, id).files, repository.algorithm).length > 0,
    )
    .map((id) => pathOfName(IMAGES, id));
}
