import { FormatError } from '../errors.js';

/** The store that a reference like `containers-storage:[overlay@/graph+/run:opt=x]name` asks for. */
export interface StoreChoice {
  driver?: string;
  graphroot?: string;
  runroot?: string;
  options: readonly string[];
}

/** What a person or a program wrote to name an image, taken apart; at least one of the last four is there. */
export interface ImageReference {
  store?: StoreChoice;
  /** the words as they were written, without store */
  text: string;
  /** an image ID or the beginning of one */
  idPrefix?: string;
  /** normalised, without tag and digest: docker.io/library/busybox */
  repository?: string;
  tag?: string;
  /** of a manifest: sha256:… */
  digest?: string;
}

const TRANSPORT = 'containers-storage:';
const HEX = /^[0-9a-f]+$/;
const ID_LENGTH = 64;
const SHORTEST_ID_PREFIX = 3;
const DIGEST = /^sha256:[0-9a-f]{64}$/;
const DOMAIN =
  /^(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*|\[[0-9a-fA-F:]+\])(?::\d+)?$/;
const COMPONENT = /^[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*$/;
const TAG = /^\w[\w.-]{0,127}$/;

/**
 * Takes an image reference apart by the rules of containers/image's `containers-storage` transport
 * (storage_transport.go); the transport's prefix may be left out.
 * @throws FormatError `BAD_REFERENCE`
 * @example
 * ```ts
 * import { parseImageReference } from 'composefs-bridge';
 *
 * const { repository, tag } = parseImageReference('containers-storage:debian:12');
 * console.log(repository, tag); // docker.io/library/debian 12
 * ```
 */
export function parseImageReference(input: string): ImageReference {
  let text = input.startsWith(TRANSPORT) ? input.slice(TRANSPORT.length) : input;
  const reference: ImageReference = { text };
  if (text.startsWith('[')) {
    const end = text.indexOf(']');
    if (end < 0) throw bad(input, 'the "[" of the store is never closed');
    reference.store = parseStoreChoice(text.slice(1, end), input);
    text = text.slice(end + 1);
    reference.text = text;
  }
  if (text === '') throw bad(input, 'no image is named');
  if (DIGEST.test(text)) return { ...reference, digest: text };

  const [name = '', ...parts] = text.split('@');
  for (const part of parts) {
    if (DIGEST.test(part)) reference.digest = part;
    else if (HEX.test(part) && part.length >= SHORTEST_ID_PREFIX && part.length <= ID_LENGTH) reference.idPrefix = part;
    else throw bad(input, `"${part}" is neither a digest nor an image ID`);
  }
  if (parts.length === 0 && HEX.test(name) && name.length >= SHORTEST_ID_PREFIX && name.length <= ID_LENGTH)
    reference.idPrefix = name;
  if (name !== '' && !(HEX.test(name) && name.length === ID_LENGTH)) {
    Object.assign(reference, parseName(name, input));
    if (reference.tag === undefined && parts.length === 0) reference.tag = 'latest';
  }
  return reference;
}

/**
 * Takes a reference apart that names a store and no image in it: `containers-storage:[overlay@/graph+/run]`, or just
 * `containers-storage:` for the one that podman uses.
 * @throws FormatError `BAD_REFERENCE`, also when an image is named
 */
export function parseStoreReference(input: string): StoreChoice | undefined {
  if (input === TRANSPORT) return undefined;
  const text = input.slice(TRANSPORT.length);
  if (!input.startsWith(`${TRANSPORT}[`) || text.indexOf(']') !== text.length - 1)
    throw new FormatError(
      'BAD_REFERENCE',
      `"${input}" does not name a store alone: write ${TRANSPORT} or ${TRANSPORT}[overlay@/path/of/the/store]`,
    );
  return parseStoreChoice(text.slice(1, -1), input);
}

/**
 * The name that an image gets in a store by a reference: completed as podman completes it, with `:latest` where neither
 * tag nor digest is written.
 * @throws FormatError `BAD_REFERENCE` for an image ID, a digest alone, or both tag and digest
 */
export function storedNameOf({ text, repository, tag, digest, idPrefix }: ImageReference): string {
  // What looks like the beginning of an ID is a name here, unless it follows an @.
  if (repository === undefined || (idPrefix !== undefined && text.includes('@')))
    throw bad(text, 'an ID or a digest is no name; write one, such as localhost/app:1');
  if (digest === undefined) return `${repository}:${tag ?? 'latest'}`;
  if (tag !== undefined) throw bad(text, 'it has a tag and a digest; leave out one of them');
  return `${repository}@${digest}`;
}

/**
 * Docker's rules for names: `busybox` is `docker.io/library/busybox`, what looks like a host is one.
 * @returns the repository and the tag if one is written
 */
function parseName(name: string, input = name): { repository: string; tag?: string } {
  const slash = name.indexOf('/');
  const first = name.slice(0, Math.max(slash, 0));
  const hasHost = slash > 0 && (/[.:]/.test(first) || first === 'localhost');
  let domain = hasHost ? first : 'docker.io';
  let path = hasHost ? name.slice(slash + 1) : name;
  if (domain === 'index.docker.io') domain = 'docker.io';
  const colon = path.lastIndexOf(':');
  const tag = colon > path.lastIndexOf('/') ? path.slice(colon + 1) : undefined;
  if (tag !== undefined) path = path.slice(0, colon);
  if (domain === 'docker.io' && !path.includes('/')) path = `library/${path}`;
  if (!DOMAIN.test(domain) || !path.split('/').every((part) => COMPONENT.test(part)))
    throw bad(input, 'it is not a name of an image');
  if (tag !== undefined && !TAG.test(tag)) throw bad(input, `"${tag}" cannot be a tag`);
  return tag === undefined ? { repository: `${domain}/${path}` } : { repository: `${domain}/${path}`, tag };
}

/** Repository of a name as containers-storage keeps it: normalised, with a tag or a digest. */
export function repositoryOf(storedName: string): string {
  const name = storedName.split('@', 1)[0]!;
  const colon = name.lastIndexOf(':');
  return colon > name.lastIndexOf('/') ? name.slice(0, colon) : name;
}

function parseStoreChoice(text: string, input: string): StoreChoice {
  const colon = text.indexOf(':');
  const options =
    colon < 0
      ? []
      : text
          .slice(colon + 1)
          .split(',')
          .filter((option) => option !== '');
  const place = colon < 0 ? text : text.slice(0, colon);
  const at = place.indexOf('@');
  const [graphroot = '', runroot] = place.slice(at + 1).split('+', 2);
  for (const path of [graphroot, runroot]) {
    if (path !== undefined && path !== '' && !path.startsWith('/'))
      throw bad(input, `"${path}" is not an absolute path`);
  }
  return {
    options,
    ...(at > 0 && { driver: place.slice(0, at) }),
    ...(graphroot !== '' && { graphroot }),
    ...(runroot && { runroot }),
  };
}

function bad(input: string, why: string): FormatError {
  return new FormatError('BAD_REFERENCE', `"${input}" does not name an image: ${why}`);
}
