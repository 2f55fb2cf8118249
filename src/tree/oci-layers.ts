import { showBytes, type ByteString } from '../bytes.js';
import { FormatError } from '../errors.js';
import type { TarEntry } from '../layer/entry.js';
import type { ObjectId } from '../repository/object-id.js';
import { transformForOci, type XattrMode } from './oci-transform.js';
import { checkName, splitPath } from './path.js';
import { Device, Directory, EMPTY, NO_XATTRS, Regular, Special, Symlink, type Content, type Metadata, type Node } from './tree.js';

/** Where the bytes of a regular file went; their number is the entry's `size`. */
export type FileContent = { kind: 'empty' } | { kind: 'inline'; bytes: Buffer } | { kind: 'object'; id: ObjectId };

const WHITEOUT = '.wh.';
const OPAQUE = '.wh..wh..opq';

const MAX_ID = 0xffff_ffff;
const MAX_TIME = 2n ** 63n - 1n;

/** Metadata of directories nobody described. */
const UNNAMED: Metadata = { mode: 0o755, uid: 0, gid: 0, mtimeSec: 0n, mtimeNsec: 0, xattrs: NO_XATTRS };

/**
 * The file tree an image's layers add up to. The entries of all layers are applied one after the other, lowest layer
 * first, by the rules of cfsctl 0.9.4, so that its images come out the same:
 *
 * - `.wh.NAME` removes NAME at that moment, also one of the same layer; `.wh..wh..opq` empties its directory likewise.
 *   Where there is nothing to remove nothing happens.
 * - A directory over a directory changes its metadata and keeps its entries. Anything else replaces what was there.
 * - A hardlink names an inode that exists at that moment, of this or a lower layer; its own metadata is ignored.
 * - Owners are cut to 32 bits. A device 0:0 is a device.
 *
 * Where cfsctl gives up, this goes on: missing parent directories are made (mode 0755, root, mtime 0), and
 * whiteouts below directories that do not exist are ignored.
 */
export class LayerTree {
  /** The tree so far, before the OCI transform. */
  readonly root = new Directory(UNNAMED);
  /** Entries come directory by directory, so the last parent is mostly the next one, too. */
  private parentPath: ByteString | null = null;
  private parent: Directory = this.root;

  /**
   * Applies one entry.
   * @param content where the bytes of a regular file are; ignored for other types
   * @throws FormatError LAYER_PATH, LAYER_PARENT, LAYER_HARDLINK, LAYER_ROOT, LAYER_DEVICE, LAYER_CONTENT
   */
  apply(entry: TarEntry, content: FileContent): void {
    const slash = entry.path.lastIndexOf('/');
    const last = entry.path.slice(slash + 1);
    const plain = last !== '' && last !== '.' && last !== '..' && slash >= 0;
    if (plain && this.parentPath === entry.path.slice(0, slash)) {
      checkName(last, entry);
      this.applyNamed(this.parent, last, entry, content);
      return;
    }
    const components = splitPath(entry.path, entry);
    const name = components.pop();
    if (name === undefined) {
      this.applyRoot(entry);
      return;
    }
    const parent = this.findParent(components, entry, !name.startsWith(WHITEOUT));
    if (parent === null) return;
    if (plain) {
      this.parentPath = entry.path.slice(0, slash);
      this.parent = parent;
    }
    this.applyNamed(parent, name, entry, content);
  }

  /**
   * The tree as the image shows it: `transformForOci` on what was applied. Only once.
   * @param options.xattrs which extended attributes stay
   */
  finish(options: { xattrs: XattrMode }): Directory {
    transformForOci(this.root, options.xattrs);
    return this.root;
  }

  private applyRoot(entry: TarEntry): void {
    if (entry.type !== 'directory') throw problem('LAYER_ROOT', 'the root of a layer has to be a directory', entry);
    this.root.setMetadata(metadataOf(entry));
  }

  private applyNamed(parent: Directory, name: ByteString, entry: TarEntry, content: FileContent): void {
    if (name.startsWith(WHITEOUT)) {
      this.parentPath = null;
      if (name === OPAQUE) parent.entries.clear();
      else parent.entries.delete(name.slice(WHITEOUT.length));
      return;
    }
    const old = parent.entries.get(name);
    if (old?.kind === 'directory') {
      if (entry.type === 'directory') {
        old.setMetadata(metadataOf(entry));
        return;
      }
      this.parentPath = null;
    }
    parent.entries.set(name, this.nodeOf(entry, content));
  }

  private findParent(components: readonly ByteString[], entry: TarEntry, create: boolean): Directory | null {
    let directory = this.root;
    for (const component of components) {
      let child = directory.entries.get(component);
      if (child?.kind !== 'directory') {
        if (!create) return null;
        if (child !== undefined) {
          throw problem('LAYER_PARENT', `"${showBytes(component)}" in its path is no directory`, entry);
        }
        child = new Directory(UNNAMED);
        directory.entries.set(component, child);
      }
      directory = child;
    }
    return directory;
  }

  private nodeOf(entry: TarEntry, content: FileContent): Node {
    switch (entry.type) {
      case 'file':
        return new Regular(metadataOf(entry), contentOf(entry, content));
      case 'directory':
        return new Directory(metadataOf(entry));
      case 'symlink':
        return symlinkOf(entry);
      case 'char':
      case 'block':
        return new Device(metadataOf(entry), entry.type, deviceNumber(entry));
      case 'fifo':
        return new Special(metadataOf(entry), 'fifo');
      case 'hardlink':
        return this.linkTarget(entry);
    }
  }

  private linkTarget(entry: TarEntry): Node {
    let node: Node | undefined = this.root;
    for (const component of splitPath(entry.linkPath, entry)) {
      node = node?.kind === 'directory' ? node.entries.get(component) : undefined;
    }
    if (node === undefined || node.kind === 'directory') {
      const what = node === undefined ? 'does not exist at this point' : 'is a directory';
      throw problem('LAYER_HARDLINK', `the hardlink's target "${showBytes(entry.linkPath)}" ${what}`, entry);
    }
    return node;
  }
}

function metadataOf(entry: TarEntry): Metadata {
  // As nearly all are. The inode takes what it needs.
  if (entry.mode <= 0o7777 && entry.uid <= MAX_ID && entry.gid <= MAX_ID && entry.mtimeSec >= 0n && entry.mtimeSec <= MAX_TIME && entry.xattrs.size === 0) return entry;
  return {
    mode: entry.mode & 0o7777,
    uid: entry.uid >>> 0,
    gid: entry.gid >>> 0,
    mtimeSec: BigInt.asIntN(64, entry.mtimeSec),
    mtimeNsec: entry.mtimeNsec,
    xattrs: entry.xattrs.size > 0 ? entry.xattrs : NO_XATTRS,
  };
}

function contentOf(entry: TarEntry, content: FileContent): Content {
  switch (content.kind) {
    case 'empty':
      if (entry.size !== 0) throw problem('LAYER_CONTENT', `${entry.size} bytes of content are missing`, entry);
      return EMPTY;
    case 'inline':
      if (entry.size !== content.bytes.length) {
        throw problem('LAYER_CONTENT', `content has ${content.bytes.length} bytes instead of ${entry.size}`, entry);
      }
      return entry.size === 0 ? EMPTY : content;
    case 'object':
      return { kind: 'object', id: content.id, size: BigInt(entry.size) };
  }
}

function symlinkOf(entry: TarEntry): Symlink {
  if (entry.linkPath === '' || entry.linkPath.length > 4095 || entry.linkPath.includes('\0')) {
    throw problem('LAYER_PATH', 'a symlink target has 1 to 4095 bytes, none of them NUL', entry);
  }
  return new Symlink(metadataOf(entry), entry.linkPath);
}

/** The kernel's 32-bit encoding: 12 bits of major number in the middle of 20 bits of minor number. */
export function deviceNumber(entry: TarEntry): number {
  const { devMajor: major, devMinor: minor } = entry;
  if (major < 0 || major > 0xfff || minor < 0 || minor > 0xfffff) {
    throw problem('LAYER_DEVICE', `device number ${major}:${minor} does not fit 12:20 bits`, entry);
  }
  return ((minor & 0xff) | (major << 8) | ((minor & 0xfff00) << 12)) >>> 0;
}

function problem(code: string, message: string, entry: TarEntry): FormatError {
  return new FormatError(code, message, { place: { entry: showBytes(entry.path), offset: entry.offset } });
}
