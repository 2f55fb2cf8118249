import { parseCommit } from '../object/commit.js';
import type { Checksum } from '../object/checksum.js';
import { parseDirMeta } from '../object/dirmeta.js';
import { parseDirTree } from '../object/dirtree.js';
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
  const seen = new Set([commit.tree]);
  // What is added to a set meanwhile is visited, too.
  for (const tree of seen) {
    const { files, folders } = parseDirTree(objects.metadata('dirtree', tree));
    if (files.some(({ id }) => isDead(objects.file(id).header)) || folders.some(({ meta }) => folderHas(meta)))
      return true;
    for (const folder of folders) seen.add(folder.tree);
  }
  return folderHas(commit.meta);
}

function isDead({ xattrs }: { readonly xattrs: ReadonlyMap<string, string> }): boolean {
  return [...xattrs.keys()].some((name) => name.endsWith('\0'));
}
