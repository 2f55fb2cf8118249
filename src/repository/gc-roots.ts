import { constants } from 'node:fs';
import { showBytes, type ByteString } from '../bytes.js';
import { FormatError } from '../errors.js';
import type { GcReport } from './gc-report.js';
import { checkName, entryType, parseObjectTarget, readLink, walkLinks } from './links.js';
import type { ObjectId } from './object-id.js';
import type { Area, Repository } from './repository.js';

export const AREAS: readonly Area[] = ['images', 'streams'];

/** `<digest of the subject>/<digest of the artifact>` are below it. */
export const REFERRERS = 'streams/refs/oci-referrers';

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
  /** Names that refs lead to and that are not there. They may be restored. */
  missing: Set<ByteString>;
  /** Refs that keep something only as long as something else stays, see `Referrers`. */
  referrers: ByteString[];
}

/**
 * What the refs of both areas, tags among them, and the names in `asked` keep. Refs that lead nowhere are reported.
 * @param asked names of streams or images, without any folder
 */
export function collectRoots(repository: Repository, asked: readonly ByteString[], report: GcReport): Roots {
  const found: Roots = { roots: [], names: new Set(), missing: new Set(), referrers: [] };
  for (const area of AREAS) {
    for (const ref of walkLinks(repository.root, `${area}/refs`)) {
      const path = `${area}/refs/${ref}`;
      if (isReferrer(repository, path)) found.referrers.push(path);
      else addRef(repository, area, path, found, report);
    }
  }
  for (const name of asked) {
    const added = AREAS.map((area) => addName(repository, area, name, `${area}/${name}`, found));
    if (!added.includes(true)) report.add('unknown-root', name, 'there is no stream or image of this name; tags keep what they lead to anyway');
  }
  return found;
}

/** Whether this is a ref of an artifact that refers to another manifest, named by the digests of both. */
function isReferrer(repository: Repository, path: ByteString): boolean {
  return path.startsWith(`${REFERRERS}/`) && path.split('/').length === 5 && entryType(repository.root, path) === constants.S_IFLNK;
}

/** What a ref keeps; one that leads nowhere is reported. */
export function addRef(repository: Repository, area: Area, path: ByteString, found: Omit<Roots, 'referrers'>, report: GcReport): void {
  if (entryType(repository.root, path) !== constants.S_IFLNK) {
    report.add('foreign-file', path, 'not a symlink');
    return;
  }
  const target = readLink(repository.root, path) ?? '';
  if (addName(repository, area, target.split('/').at(-1) ?? '', path, found)) return;
  // A ref that passes its name over and leads to an object right away keeps that object.
  const id = asObject(target, repository);
  if (id !== undefined) found.roots.push({ id, area, path });
  else {
    found.missing.add(`${area}/${target.split('/').at(-1) ?? ''}`);
    report.add('dangling-ref', path, `there is no ${showBytes(target)}; remove the ref, or pull what it stood for`);
  }
}

function addName(repository: Repository, area: Area, name: ByteString, path: ByteString, found: Omit<Roots, 'referrers' | 'missing'>): boolean {
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
