import { FormatError } from '../errors.js';
import { isDigest } from './manifest.js';

/** A repository in a registry: `docker.io/library/debian` is `library/debian` at `docker.io`. */
export interface RepositoryName {
  /** of the registry, with port if one is written */
  host: string;
  path: string;
}

/** What a name such as `docker://HOST/PATH:TAG` stands for. Just one of tag and digest is there. */
export interface RegistryReference extends RepositoryName {
  tag?: string;
  digest?: string;
}

const DOCKER_HUB = 'docker.io';
const MAX_LENGTH = 255;
const HOST =
  /^(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*|\[[0-9a-fA-F:]+\])(?::\d{1,5})?$/;
const COMPONENT = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const TAG = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/;

/**
 * Reads what follows `docker:` in a reference, as skopeo does: `//debian` is `docker.io/library/debian:latest`. Short
 * names are not looked up anywhere, they are Docker Hub's.
 * @param text with its two slashes, or without them as in `registry:REF`
 * @throws FormatError `BAD_REFERENCE`
 */
export function parseRegistryReference(text: string): RegistryReference {
  const rest = text.startsWith('//') ? text.slice(2) : text;
  const at = rest.indexOf('@');
  const named = at < 0 ? rest : rest.slice(0, at);
  const digest = at < 0 ? undefined : rest.slice(at + 1);
  const colon = named.lastIndexOf(':');
  // A host alone may have a port, but no reference is a host alone.
  const tag = colon > named.lastIndexOf('/') ? named.slice(colon + 1) : undefined;
  const name = parseRepositoryName(tag === undefined ? named : named.slice(0, colon), text);
  if (tag !== undefined && !isTag(tag)) throw bad(text, `"${tag}" cannot be a tag`);
  if (digest === undefined) return { ...name, tag: tag ?? 'latest' };
  if (!isDigest(digest)) throw bad(text, `"${digest}" is not a digest such as sha256: and 64 hexadecimal digits`);
  // They could name two images, and each program that accepts both takes another one of them.
  if (tag !== undefined) throw bad(text, 'it has a tag and a digest; leave out one of them');
  return { ...name, digest };
}

/**
 * Reads the name of a repository, without tag and digest, and completes it as docker does.
 * @param shown what to call it in the message
 * @throws FormatError `BAD_REFERENCE`
 */
export function parseRepositoryName(name: string, shown = name): RepositoryName {
  if (name === '') throw bad(shown, 'it is empty');
  const slash = name.indexOf('/');
  const first = name.slice(0, Math.max(slash, 0));
  const hasHost = slash >= 0 && (/[.:]/.test(first) || first === 'localhost' || first !== first.toLowerCase());
  const host = hasHost ? first.replace(/^index\.docker\.io$/, DOCKER_HUB) : DOCKER_HUB;
  const rest = hasHost ? name.slice(slash + 1) : name;
  const path = host === DOCKER_HUB && !rest.includes('/') ? `library/${rest}` : rest;
  if (!HOST.test(host)) throw bad(shown, `"${host}" cannot be a host`);
  if (rest !== rest.toLowerCase()) throw bad(shown, 'names of repositories are in lower case');
  if (!path.split('/').every((part) => COMPONENT.test(part)))
    throw bad(shown, `"${rest}" cannot be the name of a repository`);
  if (host.length + 1 + path.length > MAX_LENGTH) throw bad(shown, `it is longer than ${MAX_LENGTH} characters`);
  return { host, path };
}

/** Whether text has the form of a tag. */
export function isTag(text: string): boolean {
  return TAG.test(text);
}

/** In full, without a transport: `docker.io/library/debian:latest`. */
export function showReference({ host, path, tag, digest }: RegistryReference): string {
  return `${host}/${path}${tag === undefined ? '' : `:${tag}`}${digest === undefined ? '' : `@${digest}`}`;
}

function bad(shown: string, why: string): FormatError {
  return new FormatError('BAD_REFERENCE', `"${shown}" does not name an image in a registry: ${why}`);
}
