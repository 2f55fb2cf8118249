import { parseCommit } from '../object/commit.js';
import type { Checksum } from '../object/checksum.js';
import { parseDirMeta } from '../object/dirmeta.js';
import { parseDirTree } from '../object/dirtree.js';
import { selected, selectionOf } from '../selection.js';
import type { StoredCommit } from '../stream/read-commit.js';

/**
 * Whether the image of a commit has xattrs that the kernel does not find, because their names end with a NUL. Stops at
 * the first one.
 * @throws as `commitTree`
 */
export function hasDeadXattrs({ objects, form }: StoredCommit): boolean {
  if (form.fixXattrs) return false;
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
