import type { Abortable } from '../../abortable.js';
import { readErofs } from '../../erofs/read/reader.js';
import { readNamedImage } from '../../repository/read-named-image.js';
import type { Repository } from '../../repository/repository.js';
import type { Directory, Node } from '../../tree/tree.js';
import type { CommitForm } from '../form.js';
import { parseCommit } from '../object/commit.js';
import type { Checksum } from '../object/checksum.js';
import { parseDirMeta } from '../object/dirmeta.js';
import { parseDirTree } from '../object/dirtree.js';
import { selected, selectionOf } from '../selection.js';
import type { CommitObjects } from '../stream/commit-objects.js';
import { resolveStored } from '../refs.js';
import { readStored, type StoredCommit } from '../stream/read-commit.js';

/** What users are told who mount such an image. */
export const DEAD_XATTRS = 'The xattrs of this image do not work, SELinux labels included';

/**
 * Whether all xattrs of a commit work when its image is mounted. Those of a commit that was pulled do not, SELinux
 * labels included, unless they are fixed: see `CommitForm`.
 * @param source its name, its id, or the first digits of that
 * @throws as `inspectCommit`
 * @example
 * ```ts
 * import { commitXattrsWork, Repository } from 'composefs-bridge';
 *
 * using repository = await Repository.open('/var/lib/commits');
 * console.log(await commitXattrsWork(repository, 'web/stable')); // true
 * ```
 */
export async function commitXattrsWork(
  repository: Repository,
  source: string,
  { signal }: Abortable = {},
): Promise<boolean> {
  return !hasDeadXattrs(repository, await readStored(repository, resolveStored(repository, source), signal));
}

/**
 * Whether the image of a commit has xattrs that the kernel does not find, because their names end with a NUL. The image
 * that a commit was made of has none.
 * @throws as `commitTree` and `readNamedImage`
 */
export function hasDeadXattrs(repository: Repository, { objects, form, image }: StoredCommit): boolean {
  if (form.fixXattrs || image === undefined || !hasXattrs(objects, form)) return false;
  return readNamedImage(repository, image, (bytes) => isAnyDead(readErofs(bytes).root));
}

/** Stops at the first one. */
function isAnyDead(root: Directory): boolean {
  const pending: Node[] = [root];
  for (let node = pending.pop(); node !== undefined; node = pending.pop()) {
    if (isDead(node)) return true;
    if (node.kind === 'directory') pending.push(...node.entries.values());
  }
  return false;
}

/** Whether a commit has any; in its objects the names of all end with a NUL. Stops at the first one. */
function hasXattrs(objects: CommitObjects, form: CommitForm): boolean {
  const commit = parseCommit(objects.metadata('commit', objects.commit));
  const folderHas = (meta: Checksum): boolean => isDead(parseDirMeta(objects.metadata('dirmeta', meta)));
  const seen = new Set<Checksum>();
  const pending = [{ tree: commit.tree, selection: selectionOf(form) }];
  for (let at = pending.pop(); at !== undefined; at = pending.pop()) {
    if (at.selection === 'all' && seen.has(at.tree)) continue;
    if (at.selection === 'all') seen.add(at.tree);
    const { files, folders } = selected(parseDirTree(objects.metadata('dirtree', at.tree)), at.selection, '');
    if (files.some(({ id }) => isDead(objects.file(id).header)) || folders.some(({ meta }) => folderHas(meta)))
      return true;
    pending.push(...folders);
  }
  return folderHas(commit.meta);
}

function isDead({ xattrs }: { readonly xattrs: ReadonlyMap<string, string> }): boolean {
  return [...xattrs.keys()].some((name) => name.endsWith('\0'));
}
