// Tags are refs below streams/refs/oci/, one file name each: `%` and `/` are escaped, nothing else.
import { bytesOf, showBytes, type ByteString } from '../bytes.js';
import { BridgeError, FormatError, NotFoundError } from '../errors.js';
import { checkName } from './links.js';
import type { Repository } from './repository.js';

const FOLDER = 'oci';
const MANIFEST_PREFIX = 'oci-manifest-';

export interface Tag {
  /** as a person types it */
  name: string;
  /** `sha256:…` */
  manifestDigest: string;
}

/**
 * The file name of a tag.
 * @throws BridgeError `INVALID_NAME` for a leading `@` (which means a digest), an empty name, `.`, `..`, NUL, more than 255 bytes
 */
export function encodeTag(tag: string): ByteString {
  if (tag.startsWith('@')) throw new BridgeError('INVALID_NAME', `"${tag}": a tag cannot start with @`);
  const name = bytesOf(tag).replace(/%/g, '%25').replace(/\//g, '%2F');
  checkName(name);
  return name;
}

/** The tag of a file name. Other escapes, `%2f` among them, are not escapes and stay. */
export function decodeTag(name: ByteString): string {
  return Buffer.from(name.replace(/%2F|%25/g, (escape) => (escape === '%25' ? '%' : '/')), 'latin1').toString('utf8');
}

/** File names of all tags, sorted as bytes, whatever they point at. */
export function listTagNames(repository: Repository): ByteString[] {
  return repository.listRefs('streams', FOLDER);
}

/** All tags, sorted as bytes of their file names. */
export function listTags(repository: Repository): Tag[] {
  return listTagNames(repository).flatMap((name) => {
    const target = repository.readRef('streams', `${FOLDER}/${name}`);
    // Somebody else may remove it between the two looks.
    return target === undefined ? [] : [{ name: decodeTag(name), manifestDigest: digestOf(target, name) }];
  });
}

/** The manifest digest a tag stands for, or undefined. @throws FormatError when the ref points at something else */
export function readTag(repository: Repository, tag: string): string | undefined {
  const name = encodeTag(tag);
  const target = repository.readRef('streams', `${FOLDER}/${name}`);
  return target === undefined ? undefined : digestOf(target, name);
}

/**
 * Points a tag at an image, in one step. A power failure may take it back until the next `sync` of the repository.
 * @returns false when it did that already
 * @throws NotFoundError when the repository has no such manifest
 */
export function writeTag(repository: Repository, tag: string, manifestDigest: string): boolean {
  if (repository.streamObject(bytesOf(MANIFEST_PREFIX + manifestDigest)) === undefined)
    throw new NotFoundError(`there is no manifest ${manifestDigest} in the repository; "oci images --json" lists those that have a tag`);
  return repository.writeRef('streams', `${FOLDER}/${encodeTag(tag)}`, bytesOf(MANIFEST_PREFIX + manifestDigest));
}

/** Removes a tag. @returns false when there was none */
export function removeTag(repository: Repository, tag: string): boolean {
  return repository.removeRef('streams', `${FOLDER}/${encodeTag(tag)}`);
}

function digestOf(target: ByteString, name: ByteString): string {
  if (!target.startsWith(MANIFEST_PREFIX)) throw new FormatError('TAG_TARGET', `tag "${decodeTag(name)}" does not refer to a manifest but to "${showBytes(target)}"`);
  return target.slice(MANIFEST_PREFIX.length);
}
