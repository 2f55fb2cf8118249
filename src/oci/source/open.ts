import { NotFoundError } from '../../errors.js';
import type { OpenDir } from '../../fd/fd.js';
import { openDirImage } from './dir.js';
import { openDockerArchive, type ArchiveChoice } from './docker-archive.js';
import { openLayoutArchive, openLayoutImage } from './layout.js';
import type { Platform } from '../manifest.js';
import type { ImageSource } from './source.js';
import { openStorageImage } from './storage.js';

export interface OpenSourceOptions {
  /** which image of an index to take; default: the one this program runs on */
  platform?: Platform | undefined;
  /** for `containers-storage:`, see `linkingMount` */
  openDir?: OpenDir | undefined;
  signal?: AbortSignal | undefined;
}

type Opener = (rest: string, options: OpenSourceOptions) => Promise<ImageSource>;

const TRANSPORTS: Readonly<Record<string, Opener>> = {
  'containers-storage': (rest, { openDir, signal }) => openStorageImage(`containers-storage:${rest}`, { openDir, signal }),
  oci: (rest, { platform }) => {
    const { path, tag } = splitTag(rest);
    return openLayoutImage(path, { tag, platform });
  },
  'oci-archive': (rest, { platform, signal }) => {
    const { path, tag } = splitTag(rest);
    return openLayoutArchive(path, { tag, platform, signal });
  },
  'docker-archive': (rest, { signal }) => {
    const { path, choice } = splitChoice(rest);
    return openDockerArchive(path, choice, signal);
  },
  dir: (rest, { platform }) => openDirImage(rest, platform),
};

const REGISTRIES = 'registries are not read: "skopeo copy docker://NAME oci:DIR" or "podman pull NAME" brings an image here first';

/** The transports that `openSource` knows, without their colons. */
export const TRANSPORT_NAMES: readonly string[] = Object.keys(TRANSPORTS);

/** Whether a reference's files may be shared with a repository instead of copied out of a tar. */
export function isStorageReference(reference: string): boolean {
  return transportOf(reference).name === 'containers-storage';
}

/**
 * Opens the image a reference of containers' tools names: `containers-storage:NAME`, `oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]`,
 * `docker-archive:FILE[:NAME|:@POSITION]` or `dir:DIR`.
 * @throws NotFoundError when there is no such transport or image; BridgeError `PLATFORM`, `AMBIGUOUS_IMAGE`, `FOREIGN_LAYER`;
 *   FormatError, DigestMismatchError for what is damaged
 */
export async function openSource(reference: string, options: OpenSourceOptions = {}): Promise<ImageSource> {
  const { name, rest } = transportOf(reference);
  const open = Object.hasOwn(TRANSPORTS, name) ? TRANSPORTS[name] : undefined;
  if (open === undefined) throw new NotFoundError(`"${reference}" does not start with one of ${TRANSPORT_NAMES.map((known) => `${known}:`).join(', ')}; ${REGISTRIES}`);
  return open(rest, options);
}

/** What stands before the first colon, and after it. */
export function transportOf(reference: string): { name: string; rest: string } {
  const colon = reference.indexOf(':');
  return { name: reference.slice(0, Math.max(colon, 0)), rest: reference.slice(colon + 1) };
}

/** What follows the last colon is a tag, unless it has a slash: then the colon is part of the path. */
function splitTag(rest: string): { path: string; tag: string | undefined } {
  const colon = rest.lastIndexOf(':');
  if (colon < 0 || rest.includes('/', colon)) return { path: rest, tag: undefined };
  return { path: rest.slice(0, colon), tag: rest.slice(colon + 1) };
}

/** Names of docker images have colons and slashes themselves, so the path is what comes before the first colon. */
function splitChoice(rest: string): { path: string; choice: ArchiveChoice } {
  const colon = rest.indexOf(':');
  if (colon < 0) return { path: rest, choice: undefined };
  const text = rest.slice(colon + 1);
  const position = /^@(\d{1,9})$/.exec(text)?.[1];
  return { path: rest.slice(0, colon), choice: position === undefined ? { name: text } : { index: Number(position) } };
}
