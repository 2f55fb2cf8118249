import { bytesOf, showBytes, type ByteString } from '../bytes.js';
import { NotFoundError } from '../errors.js';
import type { CommitForm } from './form.js';
import type { DirTree, ParsedTree } from './object/dirtree.js';

/** What of a folder, or of what is called so, is wanted: all of it, or these of its entries. */
export type Selection = 'all' | SelectedEntries;
type SelectedEntries = Map<ByteString, Selection>;

/** What of the root of a commit is wanted. */
export function selectionOf({ subpaths }: Pick<CommitForm, 'subpaths'>): Selection {
  if (subpaths.length === 0) return 'all';
  const root: SelectedEntries = new Map();
  for (const path of subpaths) {
    const parts = bytesOf(path).split('/').slice(1);
    const last = parts.pop() as ByteString;
    let at = root;
    for (const part of parts) {
      const known = at.get(part);
      const next: SelectedEntries = known instanceof Map ? known : new Map();
      at.set(part, next);
      at = next;
    }
    at.set(last, 'all');
  }
  return root;
}

interface SelectedTree {
  readonly files: ParsedTree['files'];
  readonly folders: readonly (DirTree['folders'][number] & { readonly selection: Selection })[];
}

/**
 * The entries of a folder that are wanted.
 * @param path of the folder, for errors; empty for the root
 * @throws NotFoundError when one is not there, or is to be a folder and is none: symlinks are not followed
 */
export function selected({ files, folders }: ParsedTree, selection: Selection, path: ByteString): SelectedTree {
  if (selection === 'all') return { files, folders: folders.map((folder) => ({ ...folder, selection })) };
  const result = {
    files: files.filter(({ name }) => selection.get(name) === 'all'),
    folders: folders.flatMap((folder) => {
      const below = selection.get(folder.name);
      return below === undefined ? [] : [{ ...folder, selection: below }];
    }),
  };
  const found = new Set([...result.files, ...result.folders].map(({ name }) => name));
  for (const [name, below] of selection)
    if (!found.has(name))
      throw new NotFoundError(
        `the commit has no ${below === 'all' ? 'file or ' : ''}folder "${showBytes(`${path}/${name}`)}"`,
      );
  return result;
}
