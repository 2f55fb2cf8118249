import { showBytes, type ByteString } from '../bytes.js';
import { FormatError } from '../errors.js';
import { DEPTH_MAX, Directory, NAME_MAX, TYPE_BITS, type Leaf } from '../tree/tree.js';
import { parseNode } from './dumpfile-node.js';
import { cString, unescapeField } from './dumpfile-escape.js';
import { parseMode } from './dumpfile-numbers.js';

/** Up to MTIME; what is missing behind it is empty. */
const FIELDS = 8;
/** Up to the mode: all that counts in a hardlink besides PAYLOAD. */
const LINK_FIELDS = 3;

/** A line that gives an existing inode another name. */
interface Link {
  directory: Directory;
  name: ByteString;
  target: ByteString;
  line: number;
}

/**
 * Reads a composefs dumpfile (composefs-dump(5)). It takes what the C library takes, with these exceptions, where that
 * reads memory nobody set or makes trees with loops: digests that are not 64 or 128 hex digits, and hardlinks to directories.
 * @param text the whole file
 * @returns the root; leaves carry the NLINK field and, where there are hardlinks, the line that stands for the inode
 * @throws FormatError DUMPFILE, with the line
 */
export function parseDump(text: Buffer): Directory {
  const parser = new DumpParser();
  let line = 0;
  for (let start = 0; start < text.length; ) {
    const newline = text.indexOf(10, start);
    const end = newline < 0 ? text.length : newline;
    line += 1;
    parser.parseLine(text.toString('latin1', start, end), line);
    start = end + 1;
  }
  return parser.finish();
}

class DumpParser {
  private root: Directory | undefined;
  private readonly links: Link[] = [];
  private readonly linkNames = new Map<Directory, Map<ByteString, Link>>();
  private parentText: ByteString | null = null;
  private parent: Directory | null = null;

  parseLine(text: ByteString, line: number): void {
    const fields = text.split(' ');
    try {
      if (text.includes('\0')) throw problem(`NUL byte at position ${text.indexOf('\0')}`);
      this.addLine(fields, line);
    } catch (error) {
      throw atLine(error, line, fields[0]!);
    }
  }

  finish(): Directory {
    if (this.root === undefined) throw problem('no lines');
    for (const link of this.links) {
      try {
        this.resolve(link);
      } catch (error) {
        throw atLine(error, link.line, link.name);
      }
    }
    return this.root;
  }

  private addLine(fields: ByteString[], line: number): void {
    if (fields[0] === '') throw problem('PATH: empty path');
    const needed = fields[2]?.startsWith('@') === true ? LINK_FIELDS : FIELDS;
    if (fields.length < needed) throw problem(`${fields.length} fields, at least ${needed} have to be there`);
    const path = cString(unescapeField(fields[0]!));
    const slash = path.lastIndexOf('/');
    const name = path.slice(slash + 1);
    if (name === '' && /[^/]/.test(path)) throw problem('PATH: a slash at the end');
    const parent = this.parentText !== null && this.parentText === path.slice(0, slash) && name !== '' ? this.parent : this.findParent(path);
    if (parent === null) {
      this.addRoot(fields);
      return;
    }
    if (slash >= 0) {
      this.parentText = path.slice(0, slash);
      this.parent = parent;
    }
    this.addChild(parent, name, fields, line);
  }

  private addRoot(fields: ByteString[]): void {
    if (this.root !== undefined) throw problem('PATH: a second root');
    const root = fields[2]!.startsWith('@') ? null : parseNode(fields);
    if (root?.kind !== 'directory') throw problem('MODE: the root has to be a directory');
    this.root = root;
  }

  private addChild(parent: Directory, name: ByteString, fields: ByteString[], line: number): void {
    if (name === '.' || name === '..') throw problem('PATH: "." or ".."');
    if (name.length > NAME_MAX) throw problem(`PATH: name of ${name.length} bytes`);
    if (parent.entries.has(name) || this.linkNames.get(parent)?.has(name) === true) throw problem('PATH: is there already');
    if (!fields[2]!.startsWith('@')) {
      parent.entries.set(name, parseNode(fields));
      return;
    }
    if ((parseMode(fields[2]!.slice(1)) & 0o170000) === TYPE_BITS.directory) throw problem('MODE: directories cannot be hardlinked');
    const payload = fields[8] ?? '';
    if (payload === '-') throw problem('PAYLOAD: no target of the hardlink');
    const link = { directory: parent, name, target: cString(unescapeField(payload)), line };
    this.links.push(link);
    let names = this.linkNames.get(parent);
    if (names === undefined) this.linkNames.set(parent, (names = new Map<ByteString, Link>()));
    names.set(name, link);
  }

  /** The directory a path's last name is in, or null for the root's path. */
  private findParent(path: ByteString): Directory | null {
    const names = path.split('/').filter((name) => name !== '');
    names.pop();
    if (names.length > DEPTH_MAX) throw problem(`PATH: ${names.length} nested directories`);
    if (names.length === 0 && /^\/*$/.test(path)) return null;
    let directory = this.root;
    if (directory === undefined) throw problem('PATH: the first line has to be the root');
    for (const name of names) {
      const child: Directory | Leaf | undefined = directory.entries.get(name);
      if (child === undefined) throw problem(`PATH: there is no parent directory "${showBytes(name)}"`);
      if (child.kind !== 'directory') throw problem(`PATH: its parent "${showBytes(name)}" is no directory`);
      directory = child;
    }
    return directory;
  }

  /** Follows a link, through other links, to its inode. All links on the way get it, so that no way is gone twice. */
  private resolve(start: Link): void {
    let link = start;
    const seen = new Set<Link>();
    for (;;) {
      if (seen.has(link)) throw problem('PAYLOAD: the hardlink leads to itself');
      seen.add(link);
      const directory = this.findParent(link.target);
      const name = lastName(link.target);
      const next = directory === null ? undefined : this.linkNames.get(directory)?.get(name);
      const node = directory === null ? this.root : directory.entries.get(name);
      if (node !== undefined && node.kind !== 'directory') {
        if (next === undefined) node.owner = { directory: directory!, name };
        for (const passed of seen) passed.directory.entries.set(passed.name, node);
        return;
      }
      if (next === undefined) {
        throw problem(`PAYLOAD: the hardlink's target "${showBytes(link.target)}" ${node === undefined ? 'does not exist' : 'is a directory'}`);
      }
      link = next;
    }
  }
}

function lastName(path: ByteString): ByteString {
  return path.split('/').findLast((name) => name !== '') ?? '';
}

function problem(message: string): FormatError {
  return new FormatError('DUMPFILE', message);
}

function atLine(error: unknown, line: number, path: ByteString): unknown {
  if (!(error instanceof FormatError)) return error;
  return new FormatError('DUMPFILE', `line ${line}: ${error.message}`, { place: { entry: showBytes(path.slice(0, 300)) }, cause: error });
}
