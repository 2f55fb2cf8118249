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
  /** The slot that decides where a leaf's inode is placed. */
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
    const path = [this.#addDirectory(root, 0, stubNames)];
    const next = [this.firstSlot[0]!];
    while (path.length > 0) {
      const depth = path.length - 1;
      const inode = path[depth]!;
      const slot = next[depth]!;
      if (slot === this.firstSlot[inode]! + this.slotCount[inode]!) {
        path.pop();
        next.pop();
        continue;
      }
      next[depth] = slot + 1;
      if (this.slotTargets[slot] !== UNKNOWN) continue;
      const directory = this.nodes[inode] as Directory;
      const child = directory.entries.get(this.slotNames[slot]!);
      if (child?.kind !== 'directory') {
        this.slotTargets[slot] = this.#addLeaf(child ?? stub!, slot, inode, stub);
        continue;
      }
      if (depth >= DEPTH_MAX) throw new FormatError('EROFS_DEPTH', `directories are nested deeper than ${DEPTH_MAX}`);
      const target = this.#addDirectory(child, inode, []);
      this.slotTargets[slot] = target;
      this.links[inode]!++;
      path.push(target);
      next.push(this.firstSlot[target]!);
    }
  }

  #addDirectory(directory: Directory, parent: number, more: readonly ByteString[]): number {
    const inode = this.#add(directory, ROLE_PLAIN, 2, UNKNOWN);
    const names = sortedNames(directory, more);
    const first = this.slotNames.length;
    this.firstSlot[inode] = first;
    this.slotCount[inode] = names.length;
    if (first + names.length > this.slotTargets.length)
      this.slotTargets = longer(this.slotTargets, first + names.length);
    for (let index = 0; index < names.length; index++) {
      const name = names[index]!;
      this.slotNames.push(name);
      this.slotTargets[first + index] = name === '.' ? inode : name === '..' ? parent : UNKNOWN;
    }
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

/** Names mostly come in order, and then need no sorting. */
function sortedNames(directory: Directory, more: readonly ByteString[]): readonly ByteString[] {
  const names = ['.', '..', ...more];
  let sorted = more.length === 0;
  let previous = '..';
  for (const name of directory.entries.keys()) {
    if (!NAME.test(name) || name === '.' || name === '..')
      throw new FormatError('EROFS_NAME', `"${showBytes(name)}" is no name that an entry can have`);
    if (name < previous) sorted = false;
    names.push(name);
    previous = name;
  }
  return sorted ? names : names.sort();
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

/** Breadth-first order of the inodes, a leaf where its owning name is: the order of formats 0 and 1. */
export function breadthFirst(scan: Scan): Int32Array {
  const order = new Int32Array(scan.nodes.length);
  let count = 1;
  for (let at = 0; at < count; at++) {
    const inode = order[at]!;
    const end = scan.firstSlot[inode]! + scan.slotCount[inode]!;
    for (let slot = scan.firstSlot[inode]!; slot < end; slot++) {
      const target = scan.slotTargets[slot]!;
      const name = scan.slotNames[slot]!;
      if (name === '.' || name === '..') continue;
      if (scan.slotCount[target] !== 0 || scan.ownerSlot[target] === slot) order[count++] = target;
    }
  }
  return order;
}
