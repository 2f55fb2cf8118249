import type { ByteString } from '../../bytes.js';
import { FormatError } from '../../errors.js';
import type { ObjectId } from '../../fsverity/object-id.js';
import type { Xattrs } from '../../tree/tree.js';
import { padding, XATTR_ENTRY, XATTR_UNIT } from '../format/format.js';
import { METACOPY_HEADER } from '../format/object-xattrs.js';
import { METACOPY, REDIRECT } from '../format/overlay-names.js';
import { writeBytes } from './write-bytes.js';
import { xattrName, type XattrName } from '../format/xattr-name.js';

/** An xattr with its value, one object per distinct pair, so that inodes can share it. */
export class XattrPair {
  /** On how many inodes it is. */
  uses = 0;
  /** Where it is in the table of shared xattrs, in bytes from the table's start; -1 when it is on one inode only. */
  tableOffset = -1;
  readonly #head: ByteString;
  readonly #id: ObjectId | undefined;

  /**
   * @param head value, or its first bytes when `id` is given
   * @param id object id whose bytes end the value (metacopy) or whose path does (redirect)
   */
  constructor(
    readonly name: XattrName,
    head: ByteString,
    id: ObjectId | undefined,
    readonly valueLength: number,
  ) {
    this.#head = head;
    this.#id = id;
  }

  /** Bytes of the entry in the image, padded. */
  get size(): number {
    const size = XATTR_ENTRY.end + this.name.suffix.length + this.valueLength;
    return size + padding(size, XATTR_UNIT);
  }

  get value(): ByteString {
    if (this.#id === undefined) return this.#head;
    if (this.name.full === METACOPY) return this.#head + Buffer.from(this.#id, 'hex').toString('latin1');
    return `${this.#head}${this.#id.slice(0, 2)}/${this.#id.slice(2)}`;
  }

  /**
   * Writes the entry, without its padding.
   * @throws FormatError EROFS_OBJECT_ID: an id is not hex
   */
  write(out: Buffer, offset: number): void {
    const { index, suffix } = this.name;
    out[offset + XATTR_ENTRY.nameLength] = suffix.length;
    out[offset + XATTR_ENTRY.nameIndex] = index;
    out[offset + XATTR_ENTRY.valueLength] = this.valueLength & 0xff;
    out[offset + XATTR_ENTRY.valueLength + 1] = this.valueLength >> 8;
    writeBytes(out, suffix, offset + XATTR_ENTRY.end);
    const at = offset + XATTR_ENTRY.end + suffix.length;
    if (this.#id === undefined) writeBytes(out, this.#head, at);
    else if (this.name.full === METACOPY) this.#writeDigest(out, at, this.#id);
    else writePath(out, at, this.#id);
  }

  #writeDigest(out: Buffer, at: number, id: ObjectId): void {
    writeBytes(out, this.#head, at);
    if (out.write(id, at + this.#head.length, 'hex') !== id.length / 2) {
      throw new FormatError('EROFS_OBJECT_ID', `"${id}" is not hex`);
    }
  }
}

/** Writes `/xx/yyyy...` for the id `xxyyyy...`. */
function writePath(out: Buffer, at: number, id: ObjectId): void {
  out.write(id, at + 2, 'latin1');
  out[at] = out[at + 3] = SLASH;
  out[at + 1] = id.charCodeAt(0);
  out[at + 2] = id.charCodeAt(1);
}

const SLASH = 0x2f;

/** The two xattrs that lead to an object. */
export type ObjectXattrs = readonly [metacopy: XattrPair, redirect: XattrPair];

/** Hands out one object per name and value, and lays out those that several inodes have. */
export class XattrTable {
  readonly #names = new Map<ByteString, XattrName>();
  readonly #pairs = new Map<ByteString, Map<ByteString, XattrPair>>();
  readonly #maps = new Map<Xattrs, readonly XattrPair[]>();
  readonly #objects = new Map<ObjectId, ObjectXattrs>();
  readonly #objectsOnce = new Set<ObjectId>();
  readonly #lustre: boolean;

  /** @param lustre whether `lustre.` has a number, as in format 2 */
  constructor(lustre: boolean) {
    this.#lustre = lustre;
  }

  /** Counts as used only when the caller says so. */
  pair(name: ByteString, value: ByteString): XattrPair {
    let values = this.#pairs.get(name);
    if (values === undefined) this.#pairs.set(name, (values = new Map<ByteString, XattrPair>()));
    let pair = values.get(value);
    if (pair === undefined) values.set(value, (pair = new XattrPair(this.#name(name), value, undefined, value.length)));
    return pair;
  }

  /** What `sort` makes of a map of xattrs, once for each map. */
  sorted(xattrs: Xattrs, sort: () => readonly XattrPair[]): readonly XattrPair[] {
    let pairs = this.#maps.get(xattrs);
    if (pairs === undefined) this.#maps.set(xattrs, (pairs = sort()));
    return pairs;
  }

  /**
   * The mark that names the digest of a file's data, and the path of the object with that digest. Either counts as used
   * only when the caller says so.
   */
  object(id: ObjectId): ObjectXattrs {
    return this.#objects.get(id) ?? this.#makeObject(id, this.#objectsOnce.has(id) ? 1 : 0);
  }

  /**
   * Counts both xattrs of an object as used once more. They become pairs only the second time: most objects are in one
   * file.
   */
  useObject(id: ObjectId): void {
    const pairs = this.#objects.get(id);
    if (pairs !== undefined) {
      pairs[0].uses++;
      pairs[1].uses++;
      return;
    }
    const before = this.#objectsOnce.size;
    this.#objectsOnce.add(id);
    if (this.#objectsOnce.size === before) this.#makeObject(id, 2);
  }

  /**
   * The xattrs of an object, or undefined where `useObject` was called once and nothing else: these are in no table.
   */
  knownObject(id: ObjectId): ObjectXattrs | undefined {
    return this.#objects.size === 0 ? undefined : this.#objects.get(id);
  }

  #makeObject(id: ObjectId, uses: number): ObjectXattrs {
    const head = METACOPY_HEADER[id.length as 64 | 128];
    const metacopy = new XattrPair(this.#name(METACOPY), head, id, head.length + id.length / 2);
    const redirect = new XattrPair(this.#name(REDIRECT), '/', id, id.length + 2);
    metacopy.uses = redirect.uses = uses;
    this.#objects.set(id, [metacopy, redirect]);
    return [metacopy, redirect];
  }

  /** Whether a name that is in use fits. */
  hasName(fits: (name: XattrName) => boolean): boolean {
    for (const name of this.#names.values()) if (fits(name)) return true;
    return false;
  }

  /**
   * Gives every pair that is used more than once its place.
   * @param compare order of the table
   * @returns the pairs in that order and the table's length in bytes
   */
  layOut(compare: (a: XattrPair, b: XattrPair) => number): { shared: XattrPair[]; length: number } {
    const shared: XattrPair[] = [];
    const collect = (pair: XattrPair): void => {
      if (pair.uses > 1) shared.push(pair);
    };
    for (const values of this.#pairs.values()) values.forEach(collect);
    for (const pairs of this.#objects.values()) pairs.forEach(collect);
    shared.sort(compare);
    let length = 0;
    for (const pair of shared) {
      pair.tableOffset = length;
      length += pair.size;
    }
    return { shared, length };
  }

  #name(full: ByteString): XattrName {
    let name = this.#names.get(full);
    if (name === undefined) this.#names.set(full, (name = xattrName(full, this.#lustre)));
    return name;
  }
}

/** Order of the table in formats 0 and 1: everything descending. */
export function byNameDescending(a: XattrPair, b: XattrPair): number {
  return order(b.name.full, a.name.full) || b.valueLength - a.valueLength || order(b.value, a.value);
}

/** Order of the table in format 2. */
export function byIndexAscending(a: XattrPair, b: XattrPair): number {
  return a.name.index - b.name.index || order(a.name.suffix, b.name.suffix) || order(a.value, b.value);
}

/** Order on an inode in formats 0 and 1; a name can be there twice where composefs-rs marks a marked whiteout. */
export function byName(a: XattrPair, b: XattrPair): number {
  return order(a.name.full, b.name.full) || a.valueLength - b.valueLength || order(a.value, b.value);
}

function order(a: ByteString, b: ByteString): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
