// The names of a repository, for its repair: which images they stand for, which lead nowhere.
import { constants } from 'node:fs';
import type { ByteString } from '../../bytes.js';
import { FormatError } from '../../errors.js';
import { entryType, listDirectory, parseObjectTarget, readLink, removeLink, walkLinks } from '../../repository/links.js';
import type { ObjectId } from '../../repository/object-id.js';
import type { Area, Repository } from '../../repository/repository.js';
import { decodeTag, listTagNames } from '../../repository/tags.js';
import { isDigest } from '../manifest.js';
import type { Health } from './health.js';

const MANIFEST = 'oci-manifest-';
/** Streams and images that a source or a rebuild may give. */
const RESTORABLE = /^(oci-(manifest|config|layer)-sha\d+:[0-9a-f]+|[0-9a-f]{64,128})$/;
const AREAS: readonly Area[] = ['images', 'streams'];

/** Images by the digests of their manifests, with the tags each has; also those that only a tag or a referrer speaks of. */
export function imagesByDigest(repository: Repository): Map<string, string[]> {
  const images = new Map<string, string[]>();
  const add = (name: ByteString | undefined, tag?: string): void => {
    const digest = name?.startsWith(MANIFEST) === true ? name.slice(MANIFEST.length) : '';
    if (isDigest(digest)) images.set(digest, [...(images.get(digest) ?? []), ...(tag === undefined ? [] : [tag])]);
  };
  for (const tag of listTagNames(repository)) add(linkTarget(repository, `streams/refs/oci/${tag}`), decodeTag(tag));
  for (const ref of repository.listRefs('streams')) add(linkTarget(repository, `streams/refs/${ref}`));
  for (const name of repository.listStreams()) add(name);
  return images;
}

/**
 * Entries of `streams/` and `images/` that can be no names, as paths, and why: what is no link to an object, and refs to something that
 * is neither there nor of a kind that could be restored.
 */
export function foreignNames(repository: Repository): [path: ByteString, reason: string][] {
  return AREAS.flatMap((area) => {
    const names = repository.listNames(area).flatMap((name): [ByteString, string][] => {
      const path = `${area}/${name}`;
      if (entryType(repository.root, path) !== constants.S_IFLNK) return [[path, 'not a symlink']];
      return targetOf(repository, path) === undefined ? [[path, 'does not lead to an object']] : [];
    });
    const refs = walkLinks(repository.root, `${area}/refs`).flatMap((ref): [ByteString, string][] => {
      const path = `${area}/refs/${ref}`;
      if (entryType(repository.root, path) !== constants.S_IFLNK) return [[path, 'not a symlink']];
      const name = linkTarget(repository, path) ?? '';
      return RESTORABLE.test(name) || isName(repository, `${area}/${name}`) ? [] : [[path, 'leads nowhere']];
    });
    return [...names, ...refs];
  });
}

function isName(repository: Repository, path: ByteString): boolean {
  return !path.endsWith('/') && targetOf(repository, path) !== undefined;
}

/** What the names of both areas lead to. */
export function* namedObjects(repository: Repository): Generator<[path: ByteString, id: ObjectId]> {
  for (const area of AREAS) {
    for (const name of repository.listNames(area)) {
      const id = targetOf(repository, `${area}/${name}`);
      if (id !== undefined) yield [`${area}/${name}`, id];
    }
  }
}

/**
 * Removes names whose object is gone, where nothing is lost by it: those that no ref leads to, which hold nothing but the digest of
 * something nobody asked to keep, and marks of what was verified once.
 * @param needed objects that something else refers to
 * @returns the paths of names, without marks
 */
export function removeDeadNames(repository: Repository, health: Health, needed: ReadonlySet<ObjectId>): ByteString[] {
  const kept = new Set(AREAS.flatMap((area) => walkLinks(repository.root, `${area}/refs`).map((ref) => `${area}/${linkTarget(repository, `${area}/refs/${ref}`)}`)));
  for (const name of listDirectory(repository.root, 'verified')) {
    const id = targetOf(repository, `verified/${name}`);
    if (id === undefined || !health.isRight(id)) removeLink(repository.root, `verified/${name}`);
  }
  const dead = [...namedObjects(repository)].filter(([path, id]) => !health.isRight(id) && !kept.has(path) && !needed.has(id)).map(([path]) => path);
  return dead.filter((path) => removeLink(repository.root, path));
}

function linkTarget(repository: Repository, path: ByteString): ByteString | undefined {
  try {
    return readLink(repository.root, path)?.split('/').at(-1);
  } catch (error) {
    if (error instanceof FormatError) return undefined;
    throw error;
  }
}

function targetOf(repository: Repository, path: ByteString): ObjectId | undefined {
  try {
    const target = readLink(repository.root, path);
    return target === undefined ? undefined : parseObjectTarget(target, repository.algorithm);
  } catch (error) {
    if (error instanceof FormatError) return undefined;
    throw error;
  }
}
