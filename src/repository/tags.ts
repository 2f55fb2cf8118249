// Tags are refs below streams/refs/oci/, one file name each.
import { showBytes, type ByteString } from '../bytes.js';
import { BridgeError, FormatError, NotFoundError } from '../errors.js';
import { manifestContentId, manifestOf, STREAMS, TAGS } from './names.js';
import { decodeRefName, encodeRefName } from './ref-name.js';
import type { Repository } from './repository.js';

export interface Tag {
  /** as a person types it */
  readonly name: string;
  /** `sha256:…` */
  readonly manifestDigest: string;
}

/**
 * The file name of a tag.
 * @throws BridgeError `INVALID_NAME` for a leading `@` (which means a digest), an empty name, `.`, `..`, NUL, more than
 *   255 bytes
 */
export function encodeTag(tag: string): ByteString {
  if (tag.startsWith('@')) throw new BridgeError('INVALID_NAME', `"${tag}": a tag cannot start with @`);
  return encodeRefName(tag);
}

/** File names of all tags, sorted as bytes, whatever they point at. */
export function listTagNames(repository: Repository): ByteString[] {
  return repository.listRefs(STREAMS, TAGS);
}

/**
 * All tags, sorted as bytes of their file names.
 * @example
 * ```ts
 * import { listTags, Repository } from 'composefs-bridge';
 *
 * using repository = await Repository.open('/var/lib/images');
 * for (const { name, manifestDigest } of listTags(repository)) console.log(name, manifestDigest); // debian sha256:…
 * ```
 */
export function listTags(repository: Repository): Tag[] {
  return listTagNames(repository).flatMap((name) => {
    const target = repository.readRef(STREAMS, `${TAGS}/${name}`);
    // Somebody else may remove it between the two looks.
    return target === undefined ? [] : [{ name: decodeRefName(name), manifestDigest: digestOf(target, name) }];
  });
}

/**
 * The manifest digest a tag stands for, or undefined. @throws FormatError when the ref points at something else
 * @example
 * ```ts
 * import { readTag, Repository } from 'composefs-bridge';
 *
 * using repository = await Repository.open('/var/lib/images');
 * console.log(readTag(repository, 'debian')); // sha256:…
 * console.log(readTag(repository, 'alpine')); // undefined
 * ```
 */
export function readTag(repository: Repository, tag: string): string | undefined {
  const name = encodeTag(tag);
  const target = repository.readRef(STREAMS, `${TAGS}/${name}`);
  return target === undefined ? undefined : digestOf(target, name);
}

/**
 * Points a tag at an image, in one step. A power failure may take it back until the next `sync` of the repository.
 * @returns false when it did that already
 * @throws NotFoundError when the repository has no such manifest
 * @example
 * ```ts
 * import { readTag, Repository, writeTag } from 'composefs-bridge';
 *
 * using repository = await Repository.open('/var/lib/images', { write: true });
 * const digest = readTag(repository, 'debian');
 * if (digest !== undefined) console.log(writeTag(repository, 'debian-tested', digest)); // true
 * ```
 */
export function writeTag(repository: Repository, tag: string, manifestDigest: string): boolean {
  if (repository.streamObject(manifestContentId(manifestDigest)) === undefined)
    throw new NotFoundError(`there is no manifest ${manifestDigest} in the repository`);
  return repository.writeRef(STREAMS, `${TAGS}/${encodeTag(tag)}`, manifestContentId(manifestDigest));
}

/**
 * Removes a tag. @returns false when there was none
 * @example
 * ```ts
 * import { removeTag, Repository } from 'composefs-bridge';
 *
 * using repository = await Repository.open('/var/lib/images', { write: true });
 * console.log(removeTag(repository, 'debian')); // true
 * console.log(removeTag(repository, 'debian')); // false
 * ```
 */
export function removeTag(repository: Repository, tag: string): boolean {
  return repository.removeRef(STREAMS, `${TAGS}/${encodeTag(tag)}`);
}

function digestOf(target: ByteString, name: ByteString): string {
  const digest = manifestOf(target);
  if (digest === undefined)
    throw new FormatError(
      'TAG_TARGET',
      `tag "${decodeRefName(name)}" does not refer to a manifest but to "${showBytes(target)}"`,
    );
  return digest;
}
