import { constants } from 'node:fs';
import { bytesOf, type ByteString } from '../../bytes.js';
import { openPath, type Fd } from '../../fd/fd.js';
import { listDirectory, readLink, walkLinks } from '../../repository/links.js';
import {
  commitOf,
  IMAGES,
  manifestOf,
  OSTREE_REFS,
  OSTREE_VARIANT_REFS,
  pathOfRef,
  refsOf,
  shownRef,
  STREAMS,
  TAGS,
  type Area,
} from '../../repository/names.js';
import { decodeRefName } from '../../repository/ref-name.js';

/** What an argument names in a repository. */
export type NameKind = 'image' | 'tag' | 'manifest' | 'image-name' | 'stream' | 'commit' | 'commit-name';

const TAGS_FOLDER = pathOfRef(STREAMS, TAGS);
const COMMITS_FOLDERS = [OSTREE_REFS, OSTREE_VARIANT_REFS].map((folder) => pathOfRef(STREAMS, folder));

/**
 * The names of a kind that a repository has. It is only looked at: a completion neither waits for locks nor upgrades
 * anything.
 * @param begun what is typed already; digests are many, and wait for their first characters
 */
export function namesIn(path: string, kind: NameKind, begun: string): string[] {
  using root = openPath(bytesOf(path), constants.O_RDONLY | constants.O_DIRECTORY);
  return NAMES[kind](root, begun).filter(needsNoQuotes);
}

const NAMES: Readonly<Record<NameKind, (root: Fd, begun: string) => string[]>> = {
  image: (root) => [...tags(root), ...manifests(root).map((digest) => `@${digest}`)],
  tag: tags,
  manifest: manifests,
  'image-name': (root, begun) => [
    ...refs(root, IMAGES).flatMap((name) => [name, shownRef(name)]),
    ...(begun === '' ? [] : listDirectory(root, IMAGES).map(textOf)),
  ],
  stream: (root, begun) => [
    ...refs(root, STREAMS).map(shownRef),
    ...(begun === '' ? [] : listDirectory(root, STREAMS).map(textOf)),
  ],
  commit: (root, begun) => [
    ...commitNames(root),
    ...(begun === '' ? [] : listDirectory(root, STREAMS).flatMap((name) => commitOf(name) ?? [])),
  ],
  'commit-name': commitNames,
};

function tags(root: Fd): string[] {
  return listDirectory(root, TAGS_FOLDER).map(decodeRefName);
}

function commitNames(root: Fd): string[] {
  return COMMITS_FOLDERS.flatMap((folder) => listDirectory(root, folder).map(decodeRefName));
}

function manifests(root: Fd): string[] {
  const targets = listDirectory(root, TAGS_FOLDER).map((name) =>
    readLink(root, `${TAGS_FOLDER}/${name}`)?.split('/').at(-1),
  );
  return [...new Set(targets.flatMap((target) => manifestOf(target ?? '') ?? []))];
}

function refs(root: Fd, area: Area): string[] {
  return walkLinks(root, refsOf(area)).map(textOf);
}

function textOf(name: ByteString): string {
  return Buffer.from(name, 'latin1').toString('utf8');
}

/** A shell puts the name into the command line as it is, where a stranger's tag "$(rm -rf ~)" must never stand. */
export function needsNoQuotes(name: string): boolean {
  return /^[\p{L}\p{N}_./@][\p{L}\p{N}\p{M}_./@:%+,=-]*$/u.test(name);
}
