import { showBytes, type ByteString } from '../bytes.js';
import { FormatError } from '../errors.js';
import type { TarEntry } from '../layer/entry.js';
import { followLinks } from '../layer/follow-links.js';
import { OPAQUE, WHITEOUT } from '../layer/whiteouts.js';
import { metadataOf, nodeOf, problem, type FileContent } from './entry-node.js';
import { LayerChanges } from './layer-changes.js';
import { transformForOci, type XattrMode } from './oci-transform.js';
import { checkName, splitPath } from './path.js';
import type { Directory, Node } from './tree.js';

/**
 * What a whiteout or opaque mark hides: what lower layers have, wherever the mark stands in its own, as the image-spec
 * says; or whatever is there when its turn comes, as in cfsctl 0.9.4, which loses files of the mark's own layer.
 */
export type MarkOrder = 'spec' | 'cfsctl';

/** A mark that stands after files of its own layer. */
export interface LateMark {
  layer: string;
  /** the mark's path in the tar */
  entry: ByteString;
}

/**
 * The file tree an image's layers add up to. Each layer is unpacked by itself, entry after entry, and laid over those
 * below:
 *
 * - `.wh.NAME` hides the NAME of lower layers, `.wh..wh..opq` all that they have in its directory. Where there is
 *   nothing to hide nothing happens.
 * - A directory over a directory changes its metadata and keeps its entries. Anything else replaces what was there.
 * - A hardlink names an inode that exists at that moment, of this or a lower layer; its own metadata is ignored.
 * - Missing parent directories are made (mode 0755, root, mtime 0), also in place of what is not a directory in a lower
 *   layer. A symlink of the same layer is followed to the directory that is meant.
 * - Owners are cut to 32 bits. A device 0:0 is a device.
 *
 * Where cfsctl 0.9.4 takes a layer, too, the trees are the same, but for those with a `lateMark`.
 * @example
 * ```ts
 * import { LayerTree, printDump, type TarEntry } from 'composefs-bridge';
 *
 * const folder: TarEntry = {
 *   path: './etc',
 *   type: 'directory',
 *   mode: 0o755,
 *   uid: 0,
 *   gid: 0,
 *   size: 0,
 *   mtimeSec: 0n,
 *   mtimeNsec: 0,
 *   linkPath: '',
 *   devMajor: 0,
 *   devMinor: 0,
 *   xattrs: new Map(),
 *   offset: 0,
 * };
 * const tree = new LayerTree();
 * tree.beginLayer('the first');
 * tree.apply(folder, { kind: 'empty' });
 * tree.apply({ ...folder, path: './etc/motd', type: 'file', size: 3 }, { kind: 'inline', bytes: Buffer.from('hi\n') });
 * const root = tree.finish({ xattrs: 'allowlist-only' });
 * console.log([...root.entries.keys()]); // [ 'etc' ]
 * for (const lines of printDump(root)) process.stderr.write(lines);
 * ```
 */
export class LayerTree {
  /** Set once a mark was met with which cfsctl 0.9.4 makes another image: the first one. */
  lateMark: LateMark | undefined;
  readonly #marks: MarkOrder;
  /** The layers below the current one; undefined while that is the lowest. */
  #lower: Directory | undefined;
  #layer = '';
  #changes: LayerChanges | undefined;
  /** Entries come directory by directory, so the last parent is mostly the next one, too. */
  #parentPath: ByteString | undefined;
  #parent: Directory | undefined;

  constructor(marks: MarkOrder = 'spec') {
    this.#marks = marks;
  }

  /** The entries that come now are those of the next layer. @param name of the layer, for messages */
  beginLayer(name: string): void {
    if (this.#changes !== undefined) this.#lower = this.#stacked();
    this.#layer = name;
    this.#changes = new LayerChanges();
    this.#parentPath = undefined;
  }

  /**
   * Applies one entry of the layer that was begun last.
   * @param content where the bytes of a regular file are; ignored for other types
   * @throws FormatError LAYER_PATH, LAYER_PARENT, LAYER_HARDLINK, LAYER_ROOT, LAYER_DEVICE, LAYER_CONTENT
   */
  apply(entry: TarEntry, content: FileContent): void {
    try {
      this.#apply(entry, content);
    } catch (error) {
      if (!(error instanceof FormatError) || error.place.layer !== undefined || this.#layer === '') throw error;
      throw new FormatError(error.code, error.reason, { cause: error, place: { layer: this.#layer, ...error.place } });
    }
  }

  /**
   * The tree as the image shows it: `transformForOci` on what was applied. Only once.
   * @param options.xattrs which extended attributes stay
   */
  finish(options: { xattrs: XattrMode }): Directory {
    const root = this.#stacked();
    transformForOci(root, options.xattrs);
    return root;
  }

  #apply(entry: TarEntry, content: FileContent): void {
    const changes = this.#current();
    const slash = entry.path.lastIndexOf('/');
    const last = entry.path.slice(slash + 1);
    const plain = last !== '' && last !== '.' && last !== '..' && slash >= 0 && !last.startsWith(WHITEOUT);
    if (
      plain &&
      this.#parent !== undefined &&
      slash === this.#parentPath?.length &&
      entry.path.startsWith(this.#parentPath)
    ) {
      checkName(last, entry);
      this.#add(this.#parent, last, entry, content);
      return;
    }
    const components = splitPath(entry.path, entry);
    const name = components.pop();
    if (name === undefined) {
      if (entry.type !== 'directory') throw problem('LAYER_ROOT', 'the root of a layer has to be a directory', entry);
      changes.describe(changes.root, metadataOf(entry));
      return;
    }
    const isMark = name.startsWith(WHITEOUT);
    const parent = this.#findParent(components, entry, isMark);
    if (parent === undefined) return;
    if (isMark) return this.#mark(parent, name, entry);
    if (plain) {
      this.#parentPath = entry.path.slice(0, slash);
      this.#parent = parent;
    }
    this.#add(parent, name, entry, content);
  }

  #current(): LayerChanges {
    if (this.#changes === undefined) this.beginLayer('');
    return this.#changes as LayerChanges;
  }

  #stacked(): Directory {
    const changes = this.#current();
    if (this.#lower === undefined) return changes.root;
    changes.applyTo(this.#lower);
    return this.#lower;
  }

  #add(parent: Directory, name: ByteString, entry: TarEntry, content: FileContent): void {
    const changes = this.#current();
    const old = parent.entries.get(name);
    if (old?.kind === 'directory' && entry.type === 'directory') return changes.describe(old, metadataOf(entry));
    // The cached parent may be below it.
    if (old?.kind === 'directory' || old?.kind === 'symlink') this.#parentPath = undefined;
    const node =
      entry.type === 'hardlink'
        ? this.#linkTarget(entry)
        : nodeOf(entry as TarEntry & { type: typeof entry.type }, content);
    // For one moment there was a file here, which hid what lower layers have.
    if (old !== undefined && node.kind === 'directory') changes.hide(parent, name);
    parent.entries.set(name, node);
  }

  #mark(parent: Directory, mark: ByteString, entry: TarEntry): void {
    const changes = this.#current();
    const isOpaque = mark === OPAQUE;
    const inOrder = this.#marks === 'cfsctl';
    if (inOrder) this.#parentPath = undefined;
    for (const name of isOpaque ? parent.entries.keys() : [mark.slice(WHITEOUT.length)]) {
      const isOwn = changes.has(parent.entries.get(name));
      if (isOwn) this.lateMark ??= { layer: this.#layer, entry: entry.path };
      // Where everything is hidden, what is there for marks alone has nothing left to do; the next opaque mark does not
      // meet it again.
      if (inOrder || (isOpaque && !isOwn)) parent.entries.delete(name);
      else if (isOwn) break;
    }
    if (this.#lower === undefined) return;
    if (isOpaque) changes.hideAll(parent);
    else changes.hide(parent, mark.slice(WHITEOUT.length));
  }

  /** The directory in the layer's own tree. @returns undefined for a mark that has nothing to hide */
  #findParent(components: readonly ByteString[], entry: TarEntry, isMark: boolean): Directory | undefined {
    const changes = this.#current();
    let directory = changes.root;
    for (const component of components) {
      let child = directory.entries.get(component);
      if (child?.kind === 'symlink') return this.#followParent(components, entry, isMark);
      if (child === undefined) {
        if (isMark && this.#lower === undefined) return undefined;
        child = changes.imply(directory, component, isMark);
      }
      // What replaces a directory of lower layers leaves a mark below it nothing to hide.
      if (child.kind !== 'directory' && isMark) return undefined;
      if (child.kind !== 'directory')
        throw problem('LAYER_PARENT', `"${showBytes(component)}" in its path is no directory`, entry);
      if (!isMark) changes.fill(child);
      directory = child;
    }
    return directory;
  }

  #followParent(components: readonly ByteString[], entry: TarEntry, isMark: boolean): Directory | undefined {
    const { names, reached } = this.#follow(components, entry);
    let place: Node | undefined = this.#current().root;
    for (const name of names.slice(0, reached))
      place = place?.kind === 'directory' ? place.entries.get(name) : undefined;
    if (place?.kind !== 'directory') {
      const target = showBytes(names.slice(0, reached).join('/'));
      throw problem(
        'LAYER_PARENT',
        `a symlink in its path leads to "${target}", and the layer has no such directory before it`,
        entry,
      );
    }
    return this.#findParent(names, entry, isMark);
  }

  #follow(components: readonly ByteString[], entry: TarEntry): { names: ByteString[]; reached: number } {
    const followed = followLinks<Node>(components, this.#current().root, (place, name) => {
      const child = place?.kind === 'directory' ? place.entries.get(name) : undefined;
      return child?.kind === 'symlink' ? child.target : child;
    });
    if (followed === undefined)
      throw problem('LAYER_PARENT', 'there are more symlinks in its path than are followed', entry);
    return followed;
  }

  #linkTarget(entry: TarEntry): Node {
    const components = splitPath(entry.linkPath, entry);
    const last = components.pop();
    const node =
      last === undefined ? this.#current().root : this.#find([...this.#follow(components, entry).names, last]);
    if (node === undefined || node.kind === 'directory') {
      const what = node === undefined ? 'does not exist at this point' : 'is a directory';
      throw problem('LAYER_HARDLINK', `the hardlink's target "${showBytes(entry.linkPath)}" ${what}`, entry);
    }
    return node;
  }

  /** What stands under a path at this moment, in the layer itself or in those below. */
  #find(names: readonly ByteString[]): Node | undefined {
    const changes = this.#current();
    let own: Node | undefined = changes.root;
    let below: Node | undefined = this.#lower;
    for (const name of names) {
      const isHidden: boolean = own !== undefined && (own.kind !== 'directory' || changes.hides(own, name));
      below = isHidden || below?.kind !== 'directory' ? undefined : below.entries.get(name);
      own = own?.kind === 'directory' ? own.entries.get(name) : undefined;
    }
    return own ?? below;
  }
}
