// The names of a repository, for its repair: which images they stand for, which lead nowhere.
import { constants } from 'node:fs';
import type { ByteString } from '../../bytes.js';
import { entryType, listDirectory, removeLink, walkLinks } from '../../repository/links.js';
import { namedObjects, nameBehind, objectBehind } from '../../repository/object-graph/object-graph.js';
import type { ObjectId } from '../../fsverity/object-id.js';
import {
  AREAS,
  isRestorable,
  manifestOf,
  pathOfName,
  pathOfRef,
  refsOf,
  STREAMS,
  TAGS,
  VERIFIED,
} from '../../repository/names.js';
import type { Repository } from '../../repository/repository.js';
import { listTagNames } from '../../repository/tags.js';
import { decodeRefName } from '../../repository/ref-name.js';
import { isDigest } from '../../spec/manifest.js';
import type { Health } from './health.js';

/**
 * Images by the digests of their manifests, with the tags each has; also those that only a tag or a referrer speaks of.
 */
export function imagesByDigest(repository: Repository): Map<string, string[]> {
  const images = new Map<string, string[]>();
  const add = (name: ByteString | undefined, tag?: string): void => {
    const digest = manifestOf(name ?? '') ?? '';
    if (isDigest(digest)) images.set(digest, [...(images.get(digest) ?? []), ...(tag === undefined ? [] : [tag])]);
  };
  for (const tag of listTagNames(repository))
    add(nameBehind(repository, pathOfRef(STREAMS, `${TAGS}/${tag}`)), decodeRefName(tag));
  for (const ref of repository.listRefs(STREAMS)) add(nameBehind(repository, pathOfRef(STREAMS, ref)));
  for (const name of repository.listStreams()) add(name);
  return images;
}

/**
 * Entries of `streams/` and `images/` that can be no names, as paths, and why: what is not a link to an object, and
 * refs to something that is neither there nor of a kind that could be restored.
 */
export function foreignNames(repository: Repository): [path: ByteString, reason: string][] {
  return AREAS.flatMap((area) => {
    const names = repository.listNames(area).flatMap((name): [ByteString, string][] => {
      const path = pathOfName(area, name);
      if (entryType(repository.root, path) !== constants.S_IFLNK) return [[path, 'not a symlink']];
      return objectBehind(repository, path) === undefined ? [[path, 'does not lead to an object']] : [];
    });
    const refs = walkLinks(repository.root, refsOf(area)).flatMap((ref): [ByteString, string][] => {
      const path = pathOfRef(area, ref);
      if (entryType(repository.root, path) !== constants.S_IFLNK) return [[path, 'not a symlink']];
      const name = nameBehind(repository, path) ?? '';
      return isRestorable(name) || leadsToObject(repository, pathOfName(area, name)) ? [] : [[path, 'leads nowhere']];
    });
    return [...names, ...refs];
  });
}

function leadsToObject(repository: Repository, path: ByteString): boolean {
  return !path.endsWith('/') && objectBehind(repository, path) !== undefined;
}

/**
 * Removes names whose object is gone, where nothing is lost by it: those that no ref leads to, which hold nothing but
 * the digest of something nobody asked to keep, and marks of what was verified once.
 * @param needed objects that something else refers to
 * @returns the paths of names, without marks
 */
export function removeDeadNames(repository: Repository, health: Health, needed: ReadonlySet<ObjectId>): ByteString[] {
  const kept = new Set(
    AREAS.flatMap((area) =>
      walkLinks(repository.root, refsOf(area)).map((ref) =>
        pathOfName(area, nameBehind(repository, pathOfRef(area, ref)) ?? ''),
      ),
    ),
  );
  for (const name of listDirectory(repository.root, VERIFIED)) {
    const path = pathOfName(VERIFIED, name);
    const id = objectBehind(repository, path);
    if (id === undefined || !health.isRight(id)) removeLink(repository.root, path);
  }
  const dead = [...namedObjects(repository)]
    .filter(([path, id]) => !health.isRight(id) && !kept.has(path) && !needed.has(id))
    .map(([path]) => path);
  return dead.filter((path) => removeLink(repository.root, path));
}
