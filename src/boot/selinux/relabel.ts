import vm from 'node:vm';
import type { ByteString } from '../../bytes.js';
import { FormatError } from '../../errors.js';
import {
  Device,
  Directory,
  NO_XATTRS,
  Regular,
  Special,
  Symlink,
  type Leaf,
  type Node,
  type Xattrs,
} from '../../tree/tree.js';
import type { FileContexts, FileType } from './policy.js';

const NAME = 'security.selinux';

const TYPES: Readonly<Record<Leaf['kind'], FileType>> = {
  regular: '-',
  block: 'b',
  char: 'c',
  symlink: 'l',
  fifo: 'p',
  socket: 's',
};

/**
 * Gives every file the label the policy has for its path, or none, in place. Names of one inode that get different
 * labels become inodes of their own, as in cfsctl 0.9.4.
 * @param timeLimit milliseconds for all of it
 * @param ending what stands behind each label
 * @throws FormatError `SELINUX_POLICY` for expressions that are not understood or take too long
 */
export function relabel(root: Directory, contexts: FileContexts, timeLimit: number, ending: ByteString): void {
  const labeler = new Labeler(contexts, ending);
  try {
    limited(timeLimit, () => labeler.directory(root, '/'));
  } catch (error) {
    // Not an `Error` of this realm.
    if ((error as { code?: unknown }).code === 'ERR_SCRIPT_EXECUTION_TIMEOUT') {
      throw new FormatError('SELINUX_POLICY', `the SELinux policy's expressions take more than ${timeLimit / 1000} s`, {
        cause: error,
      });
    }
    throw error;
  }
}

/** Removes all labels, in place. */
export function stripLabels(root: Directory): void {
  strip(root);
  for (const child of root.entries.values()) {
    if (child.kind === 'directory') stripLabels(child);
    else strip(child);
  }
}

function strip(node: Node): void {
  if (!node.xattrs.has(NAME)) return;
  const xattrs = new Map(node.xattrs);
  xattrs.delete(NAME);
  node.xattrs = xattrs.size === 0 ? NO_XATTRS : xattrs;
}

class Labeler {
  readonly #contexts: FileContexts;
  readonly #ending: ByteString;
  /** The label each inode got at its first name. */
  readonly #labels = new Map<Leaf, ByteString | undefined>();
  /** The xattrs of inodes with nothing but a label, which they share. */
  readonly #labelOnly = new Map<ByteString, Xattrs>();

  constructor(contexts: FileContexts, ending: ByteString) {
    this.#contexts = contexts;
    this.#ending = ending;
  }

  directory(directory: Directory, path: ByteString): void {
    this.#set(directory, this.#contexts.label(path, 'd'));
    for (const name of [...directory.entries.keys()].sort()) {
      const child = directory.entries.get(name) as Node;
      const own = path === '/' ? `/${name}` : `${path}/${name}`;
      const effective = this.#contexts.alias(own) ?? own;
      if (child.kind === 'directory') this.directory(child, effective);
      else this.#leaf(directory, name, child, this.#contexts.label(effective, TYPES[child.kind]));
    }
  }

  #leaf(directory: Directory, name: ByteString, leaf: Leaf, label: ByteString | undefined): void {
    if (this.#labels.has(leaf) && this.#labels.get(leaf) !== label) {
      const copy = copyOf(leaf);
      directory.entries.set(name, copy);
      this.#leaf(directory, name, copy, label);
      return;
    }
    this.#labels.set(leaf, label);
    this.#set(leaf, label);
  }

  #set(node: Node, label: ByteString | undefined): void {
    if (label === undefined) return strip(node);
    const others = [...node.xattrs].filter(([name]) => name !== NAME);
    const xattrs =
      (others.length === 0 ? this.#labelOnly.get(label) : undefined) ??
      new Map([...others, [NAME, label + this.#ending]]);
    if (others.length === 0) this.#labelOnly.set(label, xattrs);
    node.xattrs = xattrs;
  }
}

function copyOf(leaf: Leaf): Leaf {
  switch (leaf.kind) {
    case 'regular':
      return new Regular(leaf, leaf.content);
    case 'symlink':
      return new Symlink(leaf, leaf.target);
    case 'char':
    case 'block':
      return new Device(leaf, leaf.kind, leaf.rdev, leaf.claimedSize);
    case 'fifo':
    case 'socket':
      return new Special(leaf, leaf.kind, leaf.claimedSize);
  }
}

/** Node can stop what runs for too long only where it runs as a script. */
function limited(timeout: number, work: () => void): void {
  const context = vm.createContext({ work });
  vm.runInContext('work()', context, { timeout });
}
