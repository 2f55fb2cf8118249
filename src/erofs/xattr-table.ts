import type { ByteString } from '../bytes.js';
import type { ObjectId } from '../repository/object-id.js';
import { XATTR_ENTRY_HEADER_SIZE, padding } from './format.js';
import { METACOPY, REDIRECT } from './overlay-names.js';
import { xattrName, type XattrName } from './xattr-name.js';

/** Version 0, no flags, then length and algorithm of the digest that follows; overlayfs's `struct ovl_metacopy`. */
const METACOPY_HEADER = { 64: '\0\x24\0\x01', 128: '\0\x44\0\x02' } as const;

/** An xattr with its value, one object per distinct pair, so that inodes can share it. */
export class XattrPair {
  /** On how many inodes it is. */
  uses = 0;
  /** Where it is in the table of shared xattrs, in bytes from the table's start; -1 when it is on one inode only. */
  tableOffset = -1;

  /**
   * @param head value, or its first bytes when `id` is given
   * @param id object id whose bytes end the value (metacopy) or whose path does (redirect)
   */
  constructor(
    readonly name: XattrName,
    private readonly head: ByteString,
    private readonly id: ObjectId | null,
    readonly valueLength: number,
  ) {}

  /** Bytes of the entry in the image, padded. */
  get size(): number {
    const size = XATTR_ENTRY_HEADER_SIZE + this.name.suffix.length + this.valueLength;
    return size + padding(size, 4);
  }

  get value(): ByteString {
    if (this.id === null) return this.head;
    if (this.name.full === METACOPY) return this.head + Buffer.from(this.id, 'hex').toString('latin1');
    return `${this.head}${this.id.slice(0, 2)}/${this.id.slice(2)}`;
  }

  /** Writes the entry, without its padding. */
  write(out: Buffer, offset: number): void {
    const { index, suffix } = this.name;
    out[offset] = suffix.length;
    out[offset + 1] = index;
    out[offset + 2] = this.valueLength & 0xff;
    out[offset + 3] = this.valueLength >> 8;
    out.write(suffix, offset + XATTR_ENTRY_HEADER_SIZE, 'latin1');
    const at = offset + XATTR_ENTRY_HEADER_SIZE + suffix.length;
    if (this.id !== null && this.name.full === METACOPY) {
      out.write(this.head, at, 'latin1');
      out.write(this.id, at + this.head.length, 'hex');
    } else if (this.valueLength > 0) {
      out.write(this.value, at, 'latin1');
    }
  }
}

/** Hands out one object per name and value, and lays out those that several inodes have. */
export class XattrTable {
  private readonly names = new Map<ByteString, XattrName>();
  private readonly pairs = new Map<ByteString, Map<ByteString, XattrPair>>();
  private readonly metacopies = new Map<ObjectId, XattrPair>();
  private readonly redirects = new Map<ObjectId, XattrPair>();

  /** @param lustre whether `lustre.` has a number, as in format 2 */
  constructor(private readonly lustre: boolean) {}

  /** Counts as one use. */
  pair(name: ByteString, value: ByteString): XattrPair {
    let values = this.pairs.get(name);
    if (values === undefined) this.pairs.set(name, (values = new Map<ByteString, XattrPair>()));
    let pair = values.get(value);
    if (pair === undefined) values.set(value, (pair = new XattrPair(this.name(name), value, null, value.length)));
    pair.uses += 1;
    return pair;
  }

  /** The mark that says which object holds a file's data. Counts as one use. */
  metacopy(id: ObjectId): XattrPair {
    let pair = this.metacopies.get(id);
    if (pair === undefined) {
      const head = METACOPY_HEADER[id.length as 64 | 128];
      pair = new XattrPair(this.name(METACOPY), head, id, head.length + id.length / 2);
      this.metacopies.set(id, pair);
    }
    pair.uses += 1;
    return pair;
  }

  /** The path of an object, below the store. Counts as one use. */
  redirect(id: ObjectId): XattrPair {
    let pair = this.redirects.get(id);
    if (pair === undefined) this.redirects.set(id, (pair = new XattrPair(this.name(REDIRECT), '/', id, id.length + 2)));
    pair.uses += 1;
    return pair;
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
    for (const values of this.pairs.values()) values.forEach(collect);
    this.metacopies.forEach(collect);
    this.redirects.forEach(collect);
    shared.sort(compare);
    let length = 0;
    for (const pair of shared) {
      pair.tableOffset = length;
      length += pair.size;
    }
    return { shared, length };
  }

  private name(full: ByteString): XattrName {
    let name = this.names.get(full);
    if (name === undefined) this.names.set(full, (name = xattrName(full, this.lustre)));
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
