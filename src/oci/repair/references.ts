// What the objects of a repository refer to, as far as it is missing or damaged.
import type { ByteString } from '../../bytes.js';
import { BridgeError } from '../../errors.js';
import { imageReferences } from '../../erofs/image-objects.js';
import { IMAGE_HEAD, isImage } from '../../repository/gc-image-scan.js';
import { DIGEST_SIZE, type ObjectId } from '../../repository/object-id.js';
import { readAt, readSmallFile } from '../../repository/read-file.js';
import type { Repository } from '../../repository/repository.js';
import type { Health } from './health.js';
import { namedObjects } from './names.js';

const IMAGE_LIMIT = 2 ** 31 - 1;
/** Names of streams that lost theirs to another one, see `Repository.linkStreams`. */
const REPLACED = 'streams/replaced-';

/** Everything that is damaged, or referred to and missing. */
export function wrongObjects(repository: Repository, health: Health): ObjectId[] {
  const wanted = new Set([...health.damaged.keys(), ...referredObjects(repository, health), ...[...namedObjects(repository)].map(([, id]) => id)]);
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
    const { objects, streams } = referencesOf(repository, id);
    for (const ref of health.wrongOf(objects, repository.algorithm)) wrong.add(ref);
    for (const ref of streams) if (!health.isRight(ref)) wrong.add(ref);
    pending.push(...streams);
  }
  return wrong;
}

function referencesOf(repository: Repository, id: ObjectId): { objects: Buffer; streams: readonly ObjectId[] } {
  const none = { objects: Buffer.alloc(0), streams: [] };
  try {
    using file = repository.objects.open(id);
    const head = readAt(file, 0, Math.min(IMAGE_HEAD, file.stat().size));
    if (isImage(head)) {
      const objects: Buffer[] = [];
      imageReferences(readSmallFile(file, IMAGE_LIMIT), DIGEST_SIZE[repository.algorithm], (digests) => objects.push(Buffer.from(digests)));
      return { objects: Buffer.concat(objects), streams: [] };
    }
    using reader = repository.openStream(id);
    return { objects: reader.objectDigests, streams: reader.streamRefs };
  } catch (error) {
    if (error instanceof BridgeError) return none;
    throw error;
  }
}

/**
 * Names of replaced streams that refer to what is lost and that no other stream needs: the streams in their place are whole.
 * @returns paths
 */
export function deadReplaced(repository: Repository, health: Health): ByteString[] {
  const named = [...namedObjects(repository)].filter(([, id]) => health.isRight(id));
  const needed = new Set(named.filter(([path]) => !path.startsWith(REPLACED)).flatMap(([, id]) => referencesOf(repository, id).streams));
  return named
    .filter(([path, id]) => {
      if (!path.startsWith(REPLACED) || needed.has(id)) return false;
      const { objects, streams } = referencesOf(repository, id);
      return health.wrongOf(objects, repository.algorithm).length > 0 || streams.some((ref) => !health.isRight(ref));
    })
    .map(([path]) => path);
}

/**
 * Names of images that others took the place of, that refer to what is lost, and that no ref stands for.
 * @returns paths
 */
export function deadImages(repository: Repository, health: Health, superseded: readonly ObjectId[]): ByteString[] {
  const asked = new Set(repository.listRefs('images').map((ref) => repository.readRef('images', ref)));
  return superseded.filter((id) => !asked.has(id) && health.wrongOf(referencesOf(repository, id).objects, repository.algorithm).length > 0).map((id) => `images/${id}`);
}
