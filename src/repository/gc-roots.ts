import { constants } from 'node:fs';
import { showBytes, type ByteString } from '../bytes.js';
import { FormatError } from '../errors.js';
import type { GcReport } from './gc-report.js';
import { checkName, entryType, parseObjectTarget, readLink, walkLinks } from './links.js';
import type { ObjectId } from './object-id.js';
import type { Area, Repository } from './repository.js';

export const AREAS: readonly Area[] = ['images', 'streams'];

/** Something that has to stay, with all it refers to. */
export interface Root {
  id: ObjectId;
  /** Stream or image, going by where its name is. */
  area: Area;
  /** The ref or name that keeps it, below the repository. */
  path: ByteString;
}

export interface Roots {
  roots: Root[];
  /** Names that refs lead to, as paths below the repository; they stay even when their object is missing. */
  names: Set<ByteString>;
}

/**
 * What the refs of both areas, tags among them, and the names in `asked` keep. Refs that lead nowhere are reported.
 * @param asked names of streams or images, without any folder
 */
export function collectRoots(repository: Repository, asked: readonly ByteString[], report: GcReport): Roots {
  const found: Roots = { roots: [], names: new Set() };
  for (const area of AREAS) {
    for (const ref of walkLinks(repository.root, `${area}/refs`)) addRef(repository, area, `${area}/refs/${ref}`, found, report);
  }
  for (const name of asked) {
    const added = AREAS.map((area) => addName(repository, area, name, `${area}/${name}`, found));
    if (!added.includes(true)) report.add('unknown-root', name, 'there is no stream or image of this name; tags keep what they lead to anyway');
  }
  return found;
}

function addRef(repository: Repository, area: Area, path: ByteString, found: Roots, report: GcReport): void {
  if (entryType(repository.root, path) !== constants.S_IFLNK) {
    report.add('foreign-file', path, 'not a symlink');
    return;
  }
  const target = readLink(repository.root, path) ?? '';
  if (addName(repository, area, target.split('/').at(-1) ?? '', path, found)) return;
  // A ref that passes its name over and leads to an object right away keeps that object.
  const id = asObject(target, repository);
  if (id !== undefined) found.roots.push({ id, area, path });
  else report.add('dangling-ref', path, `there is no ${showBytes(target)}; remove the ref, or pull what it stood for`);
}

function addName(repository: Repository, area: Area, name: ByteString, path: ByteString, found: Roots): boolean {
  let id: ObjectId | undefined;
  try {
    checkName(name);
    id = repository.lookup(area, name);
  } catch (error) {
    // What is there is no name of an object: the sweep reports it as foreign.
    if (error instanceof FormatError || name === '' || name === '.' || name === '..') return false;
    throw error;
  }
  if (id === undefined) return false;
  found.names.add(`${area}/${name}`);
  found.roots.push({ id, area, path });
  return true;
}

function asObject(target: ByteString, repository: Repository): ObjectId | undefined {
  try {
    return parseObjectTarget(target, repository.algorithm);
  } catch (error) {
    if (error instanceof FormatError) return undefined;
    throw error;
  }
}
