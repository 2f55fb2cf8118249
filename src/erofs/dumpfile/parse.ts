import { showBytes, type ByteString } from '../../bytes.js';
import { FormatError } from '../../errors.js';
import { DUMP_LINE_LIMIT, NAME_LIMIT } from '../../limits.js';
import { DEPTH_MAX, Directory, TYPE_BITS, type Leaf } from '../../tree/tree.js';
import { LineFields, MODE, PATH, PAYLOAD } from './fields.js';
import { parseNode } from './node.js';
import { parseMode } from './numbers.js';
import { DumpProblem } from './problem.js';
import { sameBytes, XattrFields } from './xattrs.js';

/**
 * Bytes that become one string. From 1 MiB on Node keeps strings outside of the heap, where searching them is very
 * slow.
 */
const CHUNK = 512 << 10;
const SLASH = 0x2f;
const AT = 0x40;

/** A line that gives an existing inode another name. */
interface Link {
  directory: Directory;
  name: ByteString;
  target: ByteString;
  /** As the line has it. */
  path: ByteString;
  line: number;
}

/**
 * Reads a composefs dumpfile (composefs-dump(5)). It takes what the C library takes, with these exceptions, where that
 * reads memory nobody set or makes trees with loops: digests that are not 64 or 128 hex digits, and hardlinks to
 * directories.
 * @param text the whole file
 * @returns the root; leaves carry the NLINK field and, where there are hardlinks, the line that stands for the inode
 * @throws FormatError DUMPFILE, with the line and the field
 * @example
 * ```ts
 * import { parseDump } from 'composefs-bridge';
 *
 * const lines = ['/ 0 40755 2 0 0 0 100.0 - - -', '/greeting 5 100644 1 0 0 0 200.0 - hello -', ''];
 * const root = parseDump(Buffer.from(lines.join('\n')));
 * console.log([...root.entries.keys()]); // [ 'greeting' ]
 * ```
 */
export function parseDump(text: Buffer): Directory {
  const parser = new DumpParser(text.indexOf(0));
  for (let start = 0; start < text.length; ) {
    const end = endOfChunk(text, start);
    if (end - start > DUMP_LINE_LIMIT) throw parser.tooLong();
    parser.parseLines(text.subarray(start, end), start);
    start = end;
  }
  return parser.finish();
}

/** Behind the last newline of the next half MiB, or of the first line when that is longer. */
function endOfChunk(text: Buffer, start: number): number {
  if (text.length - start <= CHUNK) return text.length;
  const last = text.lastIndexOf(10, start + CHUNK - 1);
  if (last >= start) return last + 1;
  const first = text.indexOf(10, start + CHUNK);
  return first < 0 ? text.length : first + 1;
}

class DumpParser {
  #root: Directory | undefined;
  readonly #links: Link[] = [];
  readonly #linkNames = new Map<Directory, Map<ByteString, Link>>();
  readonly #fields = new LineFields();
  readonly #xattrs = new XattrFields();
  #parent: Directory | undefined;
  /** Where the path of that directory is written; no length when it is not known. */
  #parentStart = 0;
  #parentLength = -1;
  #line = 0;
  readonly #firstNul: number;

  /** @param firstNul where in the file the first NUL byte is, or -1 */
  constructor(firstNul: number) {
    this.#firstNul = firstNul;
  }

  /**
   * @param bytes whole lines
   * @param offset where in the file they are
   */
  parseLines(bytes: Buffer, offset: number): void {
    const nul = this.#firstNul - offset;
    const fields = this.#fields;
    fields.startChunk(bytes);
    this.#xattrs.startChunk();
    this.#parentLength = -1;
    for (let start = 0; start < bytes.length; start = fields.end + 1) {
      this.#line++;
      fields.startLine(start);
      try {
        if (nul >= start && nul < fields.end)
          throw problem(`Invalid embedded NUL character at position ${nul - start}`);
        this.#addLine();
      } catch (error) {
        throw atLine(error, this.#line, fields.raw(PATH));
      }
    }
  }

  /** What is wrong with a line that is not even looked at. */
  tooLong(): FormatError {
    return new FormatError('DUMPFILE', `line ${this.#line + 1}: more than ${DUMP_LINE_LIMIT} bytes`);
  }

  finish(): Directory {
    if (this.#root === undefined) throw new FormatError('DUMPFILE', 'No files in dump file');
    for (const link of this.#links) {
      try {
        this.#resolve(link);
      } catch (error) {
        throw atLine(error, link.line, link.path);
      }
    }
    return this.#root;
  }

  #addLine(): void {
    const fields = this.#fields;
    const start = fields.start(PATH);
    const length = fields.length(PATH);
    if (length === 0) throw problem('Invalid empty path');
    const slash = fields.escaped ? -1 : lastSlash(fields.bytes, start, length);
    if (
      this.#parent !== undefined &&
      slash >= 0 &&
      slash === this.#parentLength &&
      slash < length - 1 &&
      sameBytes(fields.bytes, this.#parentStart, start, slash)
    ) {
      this.#addNamed(this.#parent, fields.slice(start + slash + 1, start + length));
      return;
    }
    const path = fields.cString(PATH);
    const name = path.slice(path.lastIndexOf('/') + 1);
    if (name === '' && /[^/]/.test(path)) throw problem(`Parent directory missing for ${showBytes(path)}`);
    const parent = this.#findParent(path);
    if (parent === undefined) {
      this.#addRoot();
      return;
    }
    if (slash >= 0) {
      this.#parent = parent;
      this.#parentStart = start;
      this.#parentLength = slash;
    }
    this.#addNamed(parent, name);
  }

  #addNamed(parent: Directory, name: ByteString): void {
    if (name === '.' || name === '..')
      throw problem(`Invalid . or .. in path: ${showBytes(this.#fields.cString(PATH))}`);
    this.#addChild(parent, name);
  }

  #addRoot(): void {
    if (this.#root !== undefined) throw problem("Can't have multiple roots");
    const root = this.#fields.startsWith(MODE, AT) ? undefined : parseNode(this.#fields, this.#xattrs);
    if (root?.kind !== 'directory') throw problem('Root must be a directory', MODE);
    this.#root = root;
  }

  #addChild(parent: Directory, name: ByteString): void {
    if (name.length > NAME_LIMIT) throw problem(`Can't add child: a name of ${name.length} bytes`);
    const fields = this.#fields;
    if (fields.startsWith(MODE, AT)) {
      this.#addLink(parent, name);
      return;
    }
    const node = parseNode(fields, this.#xattrs);
    const before = parent.entries.size;
    parent.entries.set(name, node);
    if (parent.entries.size === before || (this.#links.length > 0 && this.#linkNames.get(parent)?.has(name) === true))
      throw problem(EXISTS);
  }

  #addLink(parent: Directory, name: ByteString): void {
    const fields = this.#fields;
    if (parent.entries.has(name) || this.#linkNames.get(parent)?.has(name) === true) throw problem(EXISTS);
    if ((parseMode(fields.raw(MODE).slice(1), MODE) & 0o170000) === TYPE_BITS.directory)
      throw problem("Directories can't be hardlinked", MODE);
    if (fields.isUnset(PAYLOAD)) throw problem('No target path for the hardlink', PAYLOAD);
    const link = { directory: parent, name, target: fields.cString(PAYLOAD), path: fields.raw(PATH), line: this.#line };
    this.#links.push(link);
    let names = this.#linkNames.get(parent);
    if (names === undefined) this.#linkNames.set(parent, (names = new Map<ByteString, Link>()));
    names.set(name, link);
  }

  /** The directory a path's last name is in, or undefined for the root's path. */
  #findParent(path: ByteString): Directory | undefined {
    const names = path.split('/').filter((name) => name !== '');
    names.pop();
    if (names.length > DEPTH_MAX) throw problem(`Can't add child: ${names.length} nested directories`);
    if (names.length === 0 && /^\/*$/.test(path)) return undefined;
    let directory = this.#root;
    if (directory === undefined) throw problem('Root node not present');
    for (const name of names) {
      const child: Directory | Leaf | undefined = directory.entries.get(name);
      if (child === undefined) throw problem(`Parent directory missing for ${showBytes(path)}`);
      if (child.kind !== 'directory') throw problem(`Parent must be a directory for ${showBytes(path)}`);
      directory = child;
    }
    return directory;
  }

  #findTargetParent(target: ByteString): Directory | undefined {
    try {
      return this.#findParent(target);
    } catch {
      throw noTarget(target);
    }
  }

  /** Follows a link, through other links, to its inode. All links on the way get it, so that no way is gone twice. */
  #resolve(start: Link): void {
    let link = start;
    const seen = new Set<Link>();
    for (;;) {
      if (seen.has(link)) throw problem(`Self-referential hardlink ${showBytes(start.target)}`, PAYLOAD);
      seen.add(link);
      const directory = this.#findTargetParent(link.target);
      const name = lastName(link.target);
      const next = directory === undefined ? undefined : this.#linkNames.get(directory)?.get(name);
      const node = directory === undefined ? this.#root : directory.entries.get(name);
      if (node !== undefined && node.kind !== 'directory') {
        if (next === undefined && directory !== undefined) node.owner = { directory, name };
        for (const passed of seen) passed.directory.entries.set(passed.name, node);
        return;
      }
      if (next === undefined) {
        throw node === undefined ? noTarget(link.target) : problem("Directories can't be hardlinked", PAYLOAD);
      }
      link = next;
    }
  }
}

/** Counted from `start`, or -1. */
function lastSlash(bytes: Uint8Array, start: number, length: number): number {
  let index = length - 1;
  while (index >= 0 && bytes[start + index] !== SLASH) index--;
  return index;
}

function lastName(path: ByteString): ByteString {
  return path.split('/').findLast((name) => name !== '') ?? '';
}

const EXISTS = "Can't add child: the name is there already";

function noTarget(path: ByteString): DumpProblem {
  return problem(`No target at ${showBytes(path)} for hardlink`, PAYLOAD);
}

function problem(reason: string, field = PATH): DumpProblem {
  return new DumpProblem(reason, field);
}

function atLine(error: unknown, line: number, path: ByteString): unknown {
  if (!(error instanceof DumpProblem)) return error;
  return new FormatError('DUMPFILE', `line ${line}: ${error.message}`, {
    place: { entry: showBytes(path.slice(0, 300)), field: error.field },
    cause: error,
  });
}
