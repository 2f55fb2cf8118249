// Entries of a folder, as the GVariant (a(say)a(sayay)): files with their ids, then folders with those of their
// dirtrees and dirmetas. A commit has one for each file, which is why they are read here without the help of a GVariant
// codec; a test compares.
import { isUtf8 } from 'node:buffer';
import { bytesOf, showBytes, type ByteString } from '../../bytes.js';
import { FormatError } from '../../errors.js';
import { NAME_LIMIT } from '../../limits.js';
import { encodeVariant } from '../gvariant/encode.js';
import { parseType } from '../gvariant/type.js';
import { damaged, offsetWidth } from '../gvariant/frame.js';
import { ID_SIZE, type Checksum } from './checksum.js';

const TYPE = parseType('(a(say)a(sayay))');

interface TreeFile {
  readonly name: ByteString;
  readonly id: Checksum;
}

interface TreeFolder {
  readonly name: ByteString;
  /** the dirtree */
  readonly tree: Checksum;
  /** the dirmeta */
  readonly meta: Checksum;
}

/** A dirtree object: the entries of a folder, each list sorted by the bytes of the names. */
export interface DirTree {
  readonly files: readonly TreeFile[];
  readonly folders: readonly TreeFolder[];
}

/** A file of a dirtree that was read, whose id is not written in digits until it is asked for. */
export class ParsedFile implements TreeFile {
  readonly name: ByteString;
  /** of the dirtree */
  readonly bytes: Buffer;
  /** where the id is in them */
  readonly at: number;

  constructor(name: ByteString, bytes: Buffer, at: number) {
    this.name = name;
    this.bytes = bytes;
    this.at = at;
  }

  get id(): Checksum {
    return this.bytes.toString('hex', this.at, this.at + ID_SIZE);
  }
}

/** A dirtree that was read. */
export interface ParsedTree extends DirTree {
  readonly files: readonly ParsedFile[];
}

/**
 * Reads a dirtree.
 * @throws FormatError for names that no folder can have, that are not sorted or are there twice, for ids that are none
 */
export function parseDirTree(bytes: Buffer): ParsedTree {
  const width = offsetWidth(bytes.length);
  const limit = bytes.length - width;
  const middle = width === 0 ? -1 : offsetAt(bytes, limit, width, limit);
  if (middle < 0) throw damaged(TYPE, 'is shorter than its offsets');
  const files = readEntries(bytes, 0, middle, 1).map(({ name, at }) => new ParsedFile(name, bytes, at));
  const folders = readEntries(bytes, middle, limit, 2).map(({ name, at }) => {
    const meta = at + ID_SIZE;
    return { name, tree: bytes.toString('hex', at, meta), meta: bytes.toString('hex', meta, meta + ID_SIZE) };
  });
  checkOrder(files);
  checkOrder(folders);
  checkApart(files, folders);
  return { files, folders };
}

/** Writes a dirtree; the lists are sorted here. @throws FormatError for names that are there twice or not UTF-8 */
export function encodeDirTree({ files, folders }: DirTree): Buffer {
  const [sortedFiles, sortedFolders] = [sorted(files), sorted(folders)];
  checkOrder(sortedFiles);
  checkOrder(sortedFolders);
  checkApart(sortedFiles, sortedFolders);
  return encodeVariant(TYPE, [
    sortedFiles.map(({ name, id }) => [textOf(name), Buffer.from(id, 'hex')]),
    sortedFolders.map(({ name, tree, meta }) => [textOf(name), Buffer.from(tree, 'hex'), Buffer.from(meta, 'hex')]),
  ]);
}

/** An entry as it is stored. */
interface StoredName {
  readonly name: ByteString;
  /** where the ids are, one after the other */
  readonly at: number;
}

/** Reads an array of names with as many ids each. */
function readEntries(bytes: Buffer, start: number, end: number, ids: number): StoredName[] {
  const entries: StoredName[] = [];
  if (start === end) return entries;
  const width = offsetWidth(end - start);
  const table = start + offsetAt(bytes, end - width, width, end - start);
  if ((end - table) % width !== 0) throw damaged(TYPE, 'has a table of offsets that is cut');
  let from = start;
  for (let at = table; at < end; at += width) {
    const to = start + offsetAt(bytes, at, width, table - start);
    if (from > to) throw damaged(TYPE, `has an entry that ends at ${to} and begins at ${from}`);
    entries.push(readEntry(bytes, from, to, ids));
    from = to;
  }
  return entries;
}

/** Behind the ids, last first, stand the ends of all members but the last. */
function readEntry(bytes: Buffer, start: number, end: number, ids: number): StoredName {
  const width = offsetWidth(end - start);
  const limit = end - ids * width;
  if (limit < start || width === 0) throw damaged(TYPE, 'has an entry that is shorter than its offsets');
  const first = start + offsetAt(bytes, end - width, width, limit - start);
  const name = readName(bytes, start, first);
  let at = first;
  for (let i = 1; i <= ids; i++) {
    const next = i === ids ? limit : start + offsetAt(bytes, end - (i + 1) * width, width, limit - start);
    if (next - at !== ID_SIZE)
      throw new FormatError(
        'OSTREE_OBJECT',
        `entry "${showBytes(name)}" has an id of ${next - at} bytes instead of ${ID_SIZE}`,
      );
    at = next;
  }
  return { name, at: first };
}

/** @param limit what it may be at most */
function offsetAt(bytes: Buffer, at: number, width: number, limit: number): number {
  const value =
    width === 1 ? bytes[at]! : width === 8 ? Number(bytes.readBigUInt64LE(at)) : bytes.readUIntLE(at, width);
  if (value > limit) throw damaged(TYPE, `has offset ${value} in ${limit} bytes`);
  return value;
}

function readName(bytes: Buffer, start: number, end: number): ByteString {
  let bits = 0;
  for (let at = start; at < end - 1; at++) {
    if (bytes[at] === 0) throw damaged(TYPE, 'has a name with a NUL');
    bits |= bytes[at]!;
  }
  if (start === end || bytes[end - 1] !== 0) throw damaged(TYPE, 'has a name that does not end with a NUL');
  if (bits > 0x7f && !isUtf8(bytes.subarray(start, end - 1))) throw damaged(TYPE, 'has a name that is not UTF-8');
  const name = bytes.toString('latin1', start, end - 1);
  checkEntryName(name);
  return name;
}

/** @throws FormatError: such a name would lead out of its folder, or nowhere */
function checkEntryName(name: ByteString): void {
  if (name === '' || name === '.' || name === '..' || name.includes('/') || name.length > NAME_LIMIT)
    throw new FormatError('OSTREE_OBJECT', `an entry of a dirtree has the name "${showBytes(name)}"`);
}

function checkOrder(entries: readonly { readonly name: ByteString }[]): void {
  entries.forEach(({ name }, i) => {
    const previous = entries[i - 1]?.name;
    if (previous === undefined || previous < name) return;
    const what = previous === name ? 'is there twice' : `comes after "${showBytes(previous)}"`;
    throw new FormatError('OSTREE_OBJECT', `entry "${showBytes(name)}" of a dirtree ${what}`);
  });
}

/** Both lists are sorted. */
function checkApart(files: DirTree['files'], folders: DirTree['folders']): void {
  let at = 0;
  for (const { name } of folders) {
    while (at < files.length && files[at]!.name < name) at++;
    if (files[at]?.name === name)
      throw new FormatError(
        'OSTREE_OBJECT',
        `entry "${showBytes(name)}" of a dirtree is there twice, once as a folder`,
      );
  }
}

function sorted<T extends { readonly name: ByteString }>(entries: readonly T[]): T[] {
  return [...entries].sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** @throws FormatError: ostree has names as text only */
function textOf(name: ByteString): string {
  checkEntryName(name);
  const text = Buffer.from(name, 'latin1').toString('utf8');
  if (bytesOf(text) !== name)
    throw new FormatError('OSTREE_OBJECT', `ostree cannot have a name that is not UTF-8: "${showBytes(name)}"`);
  return text;
}
