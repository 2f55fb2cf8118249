import { bytesOf, showBytes, type ByteString } from '../../bytes.js';
import { FormatError } from '../../errors.js';
import { NAME_LIMIT } from '../../limits.js';
import { encodeVariant } from '../gvariant/encode.js';
import { parseType } from '../gvariant/type.js';
import { Variant } from '../gvariant/variant.js';
import { checksumOf, type Checksum } from './checksum.js';

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

/**
 * Reads a dirtree.
 * @throws FormatError for names that no folder can have, that are not sorted or are there twice, for ids that are none
 */
export function parseDirTree(bytes: Buffer): DirTree {
  const variant = Variant.from(TYPE, bytes);
  const files = Array.from(variant.at(0), (entry) => {
    const name = nameOf(entry);
    return { name, id: idOf(entry.at(1), name) };
  });
  const folders = Array.from(variant.at(1), (entry) => {
    const name = nameOf(entry);
    return { name, tree: idOf(entry.at(1), name), meta: idOf(entry.at(2), name) };
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

/** @param name of the entry, for errors */
function idOf({ bytes }: Variant, name: ByteString): Checksum {
  return checksumOf(bytes, () => `entry "${showBytes(name)}"`);
}

function nameOf(entry: Variant): ByteString {
  const name = bytesOf(entry.at(0).string());
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
