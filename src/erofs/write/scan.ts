import { showBytes, type ByteString } from '../../bytes.js';
import { FormatError } from '../../errors.js';
import { DEPTH_MAX, Device, isWhiteout, NO_XATTRS, type Directory, type Node } from '../../tree/tree.js';
import { DIRENT_TYPE } from '../format/format.js';
import type { Writer } from '../format/options.js';
import { SELINUX } from '../format/overlay-names.js';

/** What an inode is in the image apart from its type. */
export const ROLE_PLAIN = 0;
/** One of the 256 whiteouts in the root that hide the object store's directories. */
export const ROLE_STUB = 1;
/** A whiteout of the input, written as a marked file. */
export const ROLE_WHITEOUT = 2;

/**
 * A tree as flat lists. An inode is known by its place in a depth-first walk with names in byte order; a directory's
 * entries (with `.` and `..`) are the slots `firstSlot[inode]` to `firstSlot[inode] + slotCount[inode]`.
 */
export interface Scan {
  nodes: Node[];
  /** What the image has the inode as, by its number in directory entries. */
  types: Uint8Array;
  roles: Uint8Array;
  /** Number of links. */
  links: Uint32Array;
  /** The slot that decides where an inode is placed; -1 for the root. */
  ownerSlot: Int32Array;
  /** 1 for directories that hold a whiteout of the input. */
  hasWhiteout: Uint8Array;
  /** 0 for leaves. */
  slotCount: Int32Array;
  firstSlot: Int32Array;
  slotNames: ByteString[];
  slotTargets: Int32Array;
}

/**
 * Flattens a tree.
 * @param options.stubs whether the root gets the 256 whiteouts and whiteouts of the input are escaped (formats 0 and 1)
 * @param options.writer whose idea of hardlink owners, link counts and stubs to follow
 * @throws FormatError EROFS_DEPTH, EROFS_NAME
 */
export function scanTree(root: Directory, options: { stubs: boolean; writer: Writer }): Scan {
  const scan = new Scanner(options.stubs, options.writer === 'composefs');
  scan.walk(root);
  return scan;
}

class Scanner implements Scan {
  readonly nodes: Node[] = [];
  types = new Uint8Array(FIRST_CAPACITY);
  roles = new Uint8Array(FIRST_CAPACITY);
  links = new Uint32Array(FIRST_CAPACITY);
  ownerSlot = new Int32Array(FIRST_CAPACITY);
  hasWhiteout = new Uint8Array(FIRST_CAPACITY);
  slotCount = new Int32Array(FIRST_CAPACITY);
  firstSlot = new Int32Array(FIRST_CAPACITY);
  readonly slotNames: ByteString[] = [];
  slotTargets = new Int32Array(FIRST_CAPACITY);
  readonly #stubs: boolean;
  readonly #declared: boolean;

  constructor(stubs: boolean, declared: boolean) {
    this.#stubs = stubs;
    this.#declared = declared;
  }

  walk(root: Directory): void {
    const stub = this.#stubs ? stubOf(root) : undefined;
    const stubNames = stub === undefined ? [] : [...STUB_NAMES].filter((name) => !root.entries.has(name));
    const path = [this.#addDirectory(root, UNKNOWN, 0, stubNames)];
    const next = [this.firstSlot[0]!];
    while (path.length > 0) {
      const depth = path.length - 1;
      const inode = path[depth]!;
      const directory = this.#addLeaves(inode, next[depth]!, stub);
      if (directory === UNKNOWN) {
        path.pop();
        next.pop();
        continue;
      }
      next[depth] = directory + 1;
      if (depth >= DEPTH_MAX) throw new FormatError('EROFS_DEPTH', `directories are nested deeper than ${DEPTH_MAX}`);
      const child = (this.nodes[inode] as Directory).entries.get(this.slotNames[directory]!) as Directory;
      const target = this.#addDirectory(child, directory, inode, []);
      this.slotTargets[directory] = target;
      this.links[inode]!++;
      path.push(target);
      next.push(this.firstSlot[target]!);
    }
  }

  /** @returns the first slot of a directory among those from `first` on, before which there are leaves only */
  #addLeaves(inode: number, first: number, stub: Device | undefined): number {
    const { entries } = this.nodes[inode] as Directory;
    const { slotNames, slotTargets } = this;
    const end = this.firstSlot[inode]! + this.slotCount[inode]!;
    for (let slot = first; slot < end; slot++) {
      if (slotTargets[slot] !== UNKNOWN) continue;
      const child = entries.get(slotNames[slot]!) ?? stub!;
      if (child.kind === 'directory') return slot;
      slotTargets[slot] = this.#addLeaf(child, slot, inode, stub);
    }
    return UNKNOWN;
  }

  #addDirectory(directory: Directory, slot: number, parent: number, more: readonly ByteString[]): number {
    const inode = this.#add(directory, ROLE_PLAIN, 2, slot);
    const { slotNames } = this;
    const first = slotNames.length;
    addNames(slotNames, directory, more);
    const end = slotNames.length;
    this.firstSlot[inode] = first;
    this.slotCount[inode] = end - first;
    if (end > this.slotTargets.length) this.slotTargets = longer(this.slotTargets, end);
    this.slotTargets.fill(UNKNOWN, first, end);
    this.slotTargets[slotNames.indexOf('.', first)] = inode;
    this.slotTargets[slotNames.indexOf('..', first)] = parent;
    return inode;
  }

  #addLeaf(leaf: Exclude<Node, Directory>, slot: number, parent: number, stub: Device | undefined): number {
    if (leaf === stub) return this.#add(leaf, ROLE_STUB, 1, slot);
    let inode = leaf.scanned;
    const known = this.nodes[inode] === leaf;
    if (!known) {
      inode = leaf.scanned = this.#add(
        leaf,
        this.#roleOf(leaf, slot, parent, stub),
        this.#declared ? (leaf.nlink ?? 0) : 0,
        slot,
      );
    }
    if (!this.#declared || leaf.nlink === undefined) this.links[inode]!++;
    const owner = this.#declared ? leaf.owner : undefined;
    const owned =
      owner === undefined ? !known : owner.directory === this.nodes[parent] && owner.name === this.slotNames[slot];
    if (owned) {
      this.ownerSlot[inode] = slot;
      if (this.roles[inode] === ROLE_WHITEOUT) this.hasWhiteout[parent] = 1;
    }
    return inode;
  }

  #add(node: Node, role: number, links: number, slot: number): number {
    const inode = this.nodes.push(node) - 1;
    if (inode === this.roles.length) this.#grow();
    this.types[inode] = role === ROLE_WHITEOUT ? DIRENT_TYPE.regular : typeOf(node);
    this.roles[inode] = role;
    this.links[inode] = links;
    this.ownerSlot[inode] = slot;
    return inode;
  }

  #grow(): void {
    const capacity = 2 * this.roles.length;
    this.types = longer(this.types, capacity);
    this.roles = longer(this.roles, capacity);
    this.links = longer(this.links, capacity);
    this.ownerSlot = longer(this.ownerSlot, capacity);
    this.hasWhiteout = longer(this.hasWhiteout, capacity);
    this.slotCount = longer(this.slotCount, capacity);
    this.firstSlot = longer(this.firstSlot, capacity);
  }

  /** composefs-rs adds its stubs to the tree first and then knows them by their looks. */
  #roleOf(leaf: Node, slot: number, parent: number, stub: Device | undefined): number {
    if (!this.#stubs || !isWhiteout(leaf)) return ROLE_PLAIN;
    if (this.#declared || parent !== 0 || stub === undefined || !STUB_NAMES.has(this.slotNames[slot]!))
      return ROLE_WHITEOUT;
    return looksLike(leaf, stub) ? ROLE_STUB : ROLE_WHITEOUT;
  }
}

/** The frequent kinds are compared, which is faster than to look them up. */
function typeOf({ kind }: Node): number {
  if (kind === 'regular') return DIRENT_TYPE.regular;
  if (kind === 'directory') return DIRENT_TYPE.directory;
  return kind === 'symlink' ? DIRENT_TYPE.symlink : DIRENT_TYPE[kind];
}

const UNKNOWN = -1;
const FIRST_CAPACITY = 1024;

/** A copy with zeros behind it, up to `length` or twice the length it had. */
function longer<List extends Uint8Array | Int32Array | Uint32Array>(list: List, length: number): List {
  const copy = new (list.constructor as new (length: number) => List)(Math.max(length, 2 * list.length));
  copy.set(list);
  return copy;
}

/** What a name may be, but for `.` and `..`. */
const NAME = /^[\x01-\x2e\x30-\xff]{1,255}$/;

/** Adds a directory's names in order. Mostly they come so, and then need no sorting. */
function addNames(names: ByteString[], directory: Directory, more: readonly ByteString[]): void {
  const first = names.length;
  names.push('.', '..', ...more);
  let sorted = more.length === 0;
  let previous = '..';
  for (const name of directory.entries.keys()) {
    if (!NAME.test(name) || name === '.' || name === '..')
      throw new FormatError('EROFS_NAME', `"${showBytes(name)}" is no name that an entry can have`);
    if (name < previous) sorted = false;
    names.push(name);
    previous = name;
  }
  if (sorted) return;
  const ordered = names.slice(first).sort();
  for (let index = 0; index < ordered.length; index++) names[first + index] = ordered[index]!;
}

const STUB_NAMES: ReadonlySet<ByteString> = new Set(
  Array.from({ length: 256 }, (_, index) => index.toString(16).padStart(2, '0')),
);

function stubOf(root: Directory): Device {
  const label = root.xattrs.get(SELINUX);
  const xattrs = label === undefined ? NO_XATTRS : new Map([[SELINUX, label]]);
  return new Device({ ...root, mode: 0o644, xattrs }, 'char', 0);
}

function looksLike(leaf: Node, stub: Device): boolean {
  return (
    leaf.mode === stub.mode &&
    leaf.uid === stub.uid &&
    leaf.gid === stub.gid &&
    leaf.mtimeSec === stub.mtimeSec &&
    leaf.mtimeNsec === stub.mtimeNsec &&
    leaf.xattrs.size === stub.xattrs.size &&
    leaf.xattrs.get(SELINUX) === stub.xattrs.get(SELINUX)
  );
}

/** Breadth-first order of the inodes, each where its owning name is: the order of formats 0 and 1. */
export function breadthFirst(scan: Scan): Int32Array {
  const { firstSlot, slotCount, slotTargets, ownerSlot } = scan;
  const order = new Int32Array(scan.nodes.length);
  let count = 1;
  for (let at = 0; at < count; at++) {
    const inode = order[at]!;
    const end = firstSlot[inode]! + slotCount[inode]!;
    for (let slot = firstSlot[inode]!; slot < end; slot++) {
      const target = slotTargets[slot]!;
      if (ownerSlot[target] === slot) order[count++] = target;
    }
  }
  return order;
}
