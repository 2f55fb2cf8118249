import { showBytes, type ByteString } from '../../bytes.js';
import { FormatError } from '../../errors.js';
import { OSTREE_ENTRIES_LIMIT, OSTREE_REPEATED_LIMIT, OSTREE_REPETITIONS_LIMIT } from '../../limits.js';
import {
  DEPTH_MAX,
  Directory,
  EMPTY,
  Regular,
  Symlink,
  type Content,
  type Leaf,
  type Metadata,
} from '../../tree/tree.js';
import { WHOLE, type CommitForm } from '../form.js';
import type { Checksum } from '../object/checksum.js';
import { parseCommit } from '../object/commit.js';
import { parseDirMeta } from '../object/dirmeta.js';
import { parseDirTree, type ParsedFile, type ParsedTree } from '../object/dirtree.js';
import { isSymlink, type FileHeader } from '../object/file-header.js';
import { KnownTrees } from '../object/known-trees.js';
import { withoutNul } from '../object/xattrs.js';
import { selected, selectionOf } from '../selection.js';
import type { CommitObjects, StoredFileEntry } from '../stream/commit-objects.js';

/**
 * The file tree of a commit, as its image has it: nothing has a time, and files of one id are one inode. The names of
 * xattrs keep the NUL at their end, and all there is is in it, unless the form says otherwise.
 * @param trees dirtrees of the commit that need not be read again
 * @throws FormatError when an object is missing, damaged, or of a kind that its place does not allow;
 *   DigestMismatchError for a commit, dirtree or dirmeta with another id
 */
export function commitTree(objects: CommitObjects, form = WHOLE, trees = new KnownTrees()): Directory {
  return new TreeBuilder(objects, form, trees).build();
}

class TreeBuilder {
  readonly #objects: CommitObjects;
  readonly #form: CommitForm;
  /** By index in the objects. */
  readonly #leaves: (Leaf | undefined)[];
  readonly #metadata = new Map<Checksum, Metadata>();
  /** Of files, many of which have the same header. */
  readonly #ofHeader = new Map<FileHeader, Metadata>();
  readonly #trees: KnownTrees;
  readonly #limit: number;
  #entries = 0;

  constructor(objects: CommitObjects, form: CommitForm, trees: KnownTrees) {
    this.#objects = objects;
    this.#trees = trees;
    this.#form = form;
    this.#leaves = new Array<Leaf | undefined>(objects.count);
    const repeated = Math.max(OSTREE_REPEATED_LIMIT, OSTREE_REPETITIONS_LIMIT * objects.count);
    this.#limit = Math.min(OSTREE_ENTRIES_LIMIT, repeated);
  }

  build(): Directory {
    const { tree, meta } = parseCommit(this.#objects.metadata('commit', this.#objects.commit));
    const root = new Directory(this.#folderMetadata(meta));
    const pending = [{ directory: root, tree, path: '', depth: 0, selection: selectionOf(this.#form) }];
    for (let at = pending.pop(); at !== undefined; at = pending.pop()) {
      const { directory, path } = at;
      const { files, folders } = selected(this.#tree(at.tree), at.selection, path);
      this.#count(files.length + folders.length, path);
      for (const file of files) directory.entries.set(file.name, this.#leaf(file, path));
      const depth = at.depth + 1;
      if (folders.length > 0 && depth > DEPTH_MAX)
        throw new FormatError('EROFS_DEPTH', `a commit has folders that are nested deeper than ${DEPTH_MAX}`);
      for (const { name, tree: below, meta: of, selection } of folders) {
        const child = new Directory(this.#folderMetadata(of));
        directory.entries.set(name, child);
        pending.push({ directory: child, tree: below, path: `${path}/${name}`, depth, selection });
      }
    }
    return root;
  }

  #tree(id: Checksum): ParsedTree {
    const known = this.#trees.get(id);
    if (known !== undefined) return known;
    const tree = parseDirTree(this.#objects.metadata('dirtree', id));
    this.#trees.add(id, tree);
    return tree;
  }

  /** A few dirtrees that have each other twice would make a tree without end. */
  #count(more: number, path: ByteString): void {
    this.#entries += more;
    if (this.#entries > this.#limit)
      throw new FormatError(
        'OSTREE_OBJECT',
        `a commit of ${this.#objects.count} objects with more than ${this.#limit} files and folders, up to ` +
          `"${showBytes(path.slice(0, 80))}"`,
      );
  }

  #folderMetadata(id: Checksum): Metadata {
    const known = this.#metadata.get(id);
    if (known !== undefined) return known;
    const metadata = this.#metadataOf(parseDirMeta(this.#objects.metadata('dirmeta', id)));
    this.#metadata.set(id, metadata);
    return metadata;
  }

  /** @param folder its path */
  #leaf(file: ParsedFile, folder: ByteString): Leaf {
    try {
      const index = this.#objects.indexOfFile(file.bytes, file.at);
      return (this.#leaves[index] ??= this.#read(this.#objects.fileAt(index)));
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
      const place = { entry: showBytes(`${folder}/${file.name}`) };
      throw new FormatError(error.code, error.message, { cause: error, place });
    }
  }

  #read(file: StoredFileEntry): Leaf {
    const metadata = this.#fileMetadata(file.header);
    return isSymlink(file.header) ? new Symlink(metadata, file.header.target) : new Regular(metadata, contentOf(file));
  }

  #fileMetadata(header: FileHeader): Metadata {
    const known = this.#ofHeader.get(header);
    if (known !== undefined) return known;
    const metadata = this.#metadataOf(header);
    this.#ofHeader.set(header, metadata);
    return metadata;
  }

  #metadataOf({ mode, uid, gid, xattrs }: Pick<Metadata, 'mode' | 'uid' | 'gid' | 'xattrs'>): Metadata {
    const names = this.#form.fixXattrs ? withoutNul(xattrs) : xattrs;
    return { mode: mode & 0o7777, uid, gid, xattrs: names, mtimeSec: 0n, mtimeNsec: 0 };
  }
}

function contentOf({ object, inline, size }: StoredFileEntry): Content {
  if (object !== undefined) return { kind: 'object', id: object, size };
  return inline.length === 0 ? EMPTY : { kind: 'inline', bytes: inline };
}
