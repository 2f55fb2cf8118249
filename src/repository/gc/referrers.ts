// Artifacts that refer to another manifest, their subject: signatures, say. They stay as long as that does, or a tag
// keeps them.
import type { ByteString } from '../../bytes.js';
import { BridgeError } from '../../errors.js';
import { pathOfName, STREAMS, subjectOf } from '../names.js';
import { nameBehind } from '../object-graph/object-graph.js';
import type { Repository } from '../repository.js';
import type { ObjectTable } from './objects.js';
import type { Note } from './problem.js';
import { addRef, type Roots } from './roots.js';
import type { Walk } from './walk.js';

/**
 * Keeps the referrers whose subject stays; one may be the subject of another.
 * @param roots what refs lead to; becomes more
 * @returns the refs of those that go
 */
export async function keepReferrers(
  repository: Repository,
  table: ObjectTable,
  roots: Roots,
  walk: Walk,
  note: Note,
): Promise<ByteString[]> {
  const waiting = new Map<ByteString, ByteString[]>();
  for (const path of roots.referrers) {
    const subject = subjectOf(path) ?? '';
    const others = waiting.get(subject);
    if (others === undefined) waiting.set(subject, [path]);
    else others.push(path);
  }
  const stays = (name: ByteString): boolean => isKept(repository, table, roots, name);
  const staying = [...waiting.keys()].filter(stays);
  for (const subject of staying) {
    const paths = waiting.get(subject) ?? [];
    waiting.delete(subject);
    for (const path of paths) {
      const root = addRef(repository, STREAMS, path, roots, note);
      if (root !== undefined) await walk.from(root);
      staying.push(nameBehind(repository, path) ?? '');
    }
  }
  return [...waiting.values()].flat().filter((path) => !stays(nameBehind(repository, path) ?? ''));
}

function isKept(repository: Repository, table: ObjectTable, { names, missing }: Roots, name: ByteString): boolean {
  const path = pathOfName(STREAMS, name);
  if (names.has(path) || missing.has(path)) return true;
  try {
    const id = repository.lookup(STREAMS, name);
    return id !== undefined && table.isKept(table.find(id));
  } catch (error) {
    // It leads to no object: it is reported with the names.
    if (error instanceof BridgeError) return false;
    throw error;
  }
}
