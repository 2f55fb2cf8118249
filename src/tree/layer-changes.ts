import type { ByteString } from '../bytes.js';
import { Directory, NO_XATTRS, type Metadata, type Node } from './tree.js';

/** Metadata of directories nobody described. */
const UNNAMED: Metadata = { mode: 0o755, uid: 0, gid: 0, mtimeSec: 0n, mtimeNsec: 0, xattrs: NO_XATTRS };

/** What a mark hides in one directory: all that lies below it, or some names. */
type Hidden = 'everything' | Set<ByteString>;

/**
 * What one layer changes: its own files, as they are when its tar is unpacked, and what it hides of the layers below.
 */
export class LayerChanges {
  readonly root = new Directory(UNNAMED);
  /** Directories of which the layer has files but no entry of their own: those below keep their metadata. */
  readonly #implied = new Set<Directory>([this.root]);
  /** Of those the ones that are there for marks alone: without a directory below they stand for nothing. */
  readonly #bare = new Set<Directory>();
  readonly #hidden = new Map<Directory, Hidden>();

  /** Makes a directory that some path of the layer goes through. */
  imply(parent: Directory, name: ByteString, forMark: boolean): Directory {
    const directory = new Directory(UNNAMED);
    parent.entries.set(name, directory);
    this.#implied.add(directory);
    if (forMark) this.#bare.add(directory);
    return directory;
  }

  /** The layer has files in it, whatever it was made for. */
  fill(directory: Directory): void {
    if (this.#bare.size > 0) this.#bare.delete(directory);
  }

  describe(directory: Directory, metadata: Metadata): void {
    directory.setMetadata(metadata);
    this.#implied.delete(directory);
    this.fill(directory);
  }

  hide(directory: Directory, name: ByteString): void {
    const hidden = this.#hidden.get(directory);
    if (hidden === undefined) this.#hidden.set(directory, new Set([name]));
    else if (hidden !== 'everything') hidden.add(name);
  }

  hideAll(directory: Directory): void {
    this.#hidden.set(directory, 'everything');
  }

  /** Whether nothing that layers below have under this name shows. */
  hides(directory: Directory, name: ByteString): boolean {
    const hidden = this.#hidden.get(directory);
    return hidden === 'everything' || hidden?.has(name) === true;
  }

  /** Whether the layer itself has something there, other than for marks. */
  has(node: Node | undefined): boolean {
    return node !== undefined && !(node.kind === 'directory' && this.#bare.has(node));
  }

  /** Lays the changes over the tree of the layers below, which takes over their inodes. */
  applyTo(lower: Directory): void {
    const pending: [below: Directory, above: Directory][] = [[lower, this.root]];
    for (let pair = pending.pop(); pair !== undefined; pair = pending.pop()) {
      const [below, above] = pair;
      if (!this.#implied.has(above)) below.setMetadata(above);
      this.#removeHidden(below, above);
      for (const [name, node] of above.entries) {
        const old = below.entries.get(name);
        if (node.kind === 'directory' && old?.kind === 'directory') pending.push([old, node]);
        else if (old !== undefined || this.has(node)) below.entries.set(name, this.#bareless(node));
      }
    }
  }

  #removeHidden(below: Directory, above: Directory): void {
    const hidden = this.#hidden.get(above);
    if (hidden === 'everything') below.entries.clear();
    else for (const name of hidden ?? []) below.entries.delete(name);
  }

  /** What is new as a whole takes nothing along that is there for marks alone. */
  #bareless(node: Node): Node {
    if (this.#bare.size === 0 || node.kind !== 'directory') return node;
    const pending = [node];
    for (let directory = pending.pop(); directory !== undefined; directory = pending.pop()) {
      for (const [name, child] of directory.entries) {
        if (!this.has(child)) directory.entries.delete(name);
        else if (child.kind === 'directory') pending.push(child);
      }
    }
    return node;
  }
}
