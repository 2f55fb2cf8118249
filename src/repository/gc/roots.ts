import { constants } from 'node:fs';
import { showBytes, type ByteString } from '../../bytes.js';
import { FormatError } from '../../errors.js';
import type { Note } from './problem.js';
import { checkName, entryType, parseObjectTarget, readLink, walkLinks } from '../links.js';
import type { ObjectId } from '../../fsverity/object-id.js';
import { AREAS, pathOfName, pathOfRef, refsOf, subjectOf, type Area } from '../names.js';
import type { Repository } from '../repository.js';

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
  /** Refs that keep something only as long as something else stays, see `keepReferrers`. */
  referrers: ByteString[];
}

/**
 * What the refs of both areas, tags among them, and the names in `asked` keep. Refs that lead nowhere are reported.
 * @param asked names of streams or images, without any folder
 */
export function collectRoots(repository: Repository, asked: readonly ByteString[], note: Note): Roots {
  const found: Roots = { roots: [], names: new Set(), missing: new Set(), referrers: [] };
  for (const area of AREAS) {
    for (const ref of walkLinks(repository.root, refsOf(area))) {
      const path = pathOfRef(area, ref);
      if (isReferrer(repository, path)) found.referrers.push(path);
      else {
        const root = addRef(repository, area, path, found, note);
        if (root !== undefined) found.roots.push(root);
      }
    }
  }
  for (const name of asked) {
    const roots = AREAS.flatMap((area) => addName(repository, area, name, pathOfName(area, name), found) ?? []);
    if (roots.length === 0)
      note('unknown-root', name, 'there is no stream or image of this name; tags keep what they lead to anyway');
    found.roots.push(...roots);
  }
  return found;
}

/** Whether this is a ref of an artifact that refers to another manifest, named by the digests of both. */
function isReferrer(repository: Repository, path: ByteString): boolean {
  return subjectOf(path) !== undefined && entryType(repository.root, path) === constants.S_IFLNK;
}

/** What a ref keeps; one that leads nowhere is reported. `found` becomes more by the name that stays. */
export function addRef(
  repository: Repository,
  area: Area,
  path: ByteString,
  found: Pick<Roots, 'names' | 'missing'>,
  note: Note,
): Root | undefined {
  if (entryType(repository.root, path) !== constants.S_IFLNK) {
    note('foreign-file', path, 'not a symlink');
    return undefined;
  }
  const target = readLink(repository.root, path) ?? '';
  const name = target.split('/').at(-1) ?? '';
  const named = addName(repository, area, name, path, found);
  if (named !== undefined) return named;
  // A ref that passes its name over and leads to an object right away keeps that object.
  const id = asObject(target, repository);
  if (id !== undefined) return { id, area, path };
  found.missing.add(pathOfName(area, name));
  note('dangling-ref', path, `there is no ${showBytes(target)}; remove the ref, or pull what it stood for`);
  return undefined;
}

function addName(
  repository: Repository,
  area: Area,
  name: ByteString,
  path: ByteString,
  { names }: Pick<Roots, 'names'>,
): Root | undefined {
  let id: ObjectId | undefined;
  try {
    checkName(name);
    id = repository.lookup(area, name);
  } catch (error) {
    // What is there is no name of an object: it is reported with the names.
    if (error instanceof FormatError || name === '' || name === '.' || name === '..') return undefined;
    throw error;
  }
  if (id === undefined) return undefined;
  names.add(pathOfName(area, name));
  return { id, area, path };
}

function asObject(target: ByteString, repository: Repository): ObjectId | undefined {
  try {
    return parseObjectTarget(target, repository.algorithm);
  } catch (error) {
    if (error instanceof FormatError) return undefined;
    throw error;
  }
}
