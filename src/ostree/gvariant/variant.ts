// Reads GVariant, the format of everything in ostree but file content. Values are looked at where they lie; every
// offset is checked before it is followed: it comes from whoever wrote the repository.
//
//   array of one size   elements back to back
//   other array         elements, each aligned, then the end of each as an offset
//   tuple, entry        members, each aligned; then, last first, the ends of those that vary, but for the last member
//   variant             value, a zero byte, type string
//
// Offsets have 1, 2, 4 or 8 bytes, which follows from the length of the container. All integers are little-endian here;
// the few that ostree stores the other way round are the business of who reads them.
import { isUtf8 } from 'node:buffer';
import { FormatError } from '../../errors.js';
import { GVARIANT_DEPTH_LIMIT } from '../../limits.js';
import { aligned, parseType, type VariantType } from './type.js';

/** A value with its type. */
export class Variant {
  readonly type: VariantType;
  /** Its serialised form; of `ay` the content. */
  readonly bytes: Buffer;
  readonly #depth: number;
  /** Start and end of each child, one after the other; found once. */
  #bounds: readonly number[] | undefined;

  private constructor(type: VariantType, bytes: Buffer, depth: number) {
    if (depth > GVARIANT_DEPTH_LIMIT) throw damaged(type, 'is nested too deeply');
    if (type.fixedSize !== undefined && bytes.length !== type.fixedSize)
      throw damaged(type, `has ${bytes.length} bytes instead of ${type.fixedSize}`);
    this.type = type;
    this.bytes = bytes;
    this.#depth = depth;
  }

  /**
   * @param type type string or what `parseType` made of it
   * @param bytes all of the value; not copied
   * @throws FormatError `OSTREE_GVARIANT` here and in every other call, as soon as the bytes cannot be a value of the
   *   type
   */
  static from(type: VariantType | string, bytes: Buffer): Variant {
    return new Variant(typeof type === 'string' ? parseType(type) : type, bytes, 0);
  }

  /** Elements of an array, members of a tuple or entry; 0 or 1 for a maybe, 1 for a variant. */
  get length(): number {
    return this.#children().length / 2;
  }

  /** Child `index`, from 0. @throws RangeError when there is none */
  at(index: number): Variant {
    const bounds = this.#children();
    const [start, end] = [bounds[2 * index], bounds[2 * index + 1]];
    if (start === undefined || end === undefined) throw new RangeError(`child ${index} of ${bounds.length / 2}`);
    const { members, kind } = this.type;
    if (kind === 'variant') return this.#inner();
    const type = kind === 'array' || kind === 'maybe' ? members[0]! : members[index]!;
    return new Variant(type, this.bytes.subarray(start, end), this.#depth + 1);
  }

  *[Symbol.iterator](): Generator<Variant> {
    for (let i = 0; i < this.length; i++) yield this.at(i);
  }

  /** The value of an `s`, `o` or `g`. */
  string(): string {
    if (this.type.kind !== 'string') throw new TypeError(`${this.type.signature} is no text`);
    const { bytes } = this;
    const end = bytes.length - 1;
    if (bytes.indexOf(0) !== end) throw damaged(this.type, 'does not end with its only NUL');
    if (!isUtf8(bytes)) throw damaged(this.type, 'is not UTF-8');
    return bytes.toString('utf8', 0, end);
  }

  /** The value of a number of up to 32 bits or of a `d`. */
  number(): number {
    const { bytes } = this;
    switch (this.type.signature) {
      case 'y':
        return bytes.readUInt8();
      case 'n':
        return bytes.readInt16LE();
      case 'q':
        return bytes.readUInt16LE();
      case 'i':
      case 'h':
        return bytes.readInt32LE();
      case 'u':
        return bytes.readUInt32LE();
      case 'd':
        return bytes.readDoubleLE();
      default:
        throw new TypeError(`${this.type.signature} is no number`);
    }
  }

  /** The value of an `x` or `t`. */
  bigint(): bigint {
    if (this.type.kind !== 'int64') throw new TypeError(`${this.type.signature} has no 64 bits`);
    return this.type.signature === 'x' ? this.bytes.readBigInt64LE() : this.bytes.readBigUInt64LE();
  }

  /** The value of a `b`. */
  boolean(): boolean {
    if (this.type.kind !== 'boolean') throw new TypeError(`${this.type.signature} is no boolean`);
    if (this.bytes[0]! > 1) throw damaged(this.type, `is ${this.bytes[0]}`);
    return this.bytes[0] === 1;
  }

  /** The value in a `v`. */
  #inner(): Variant {
    // The type has no NUL, so the last one is what separates it from the value.
    const nul = this.bytes.lastIndexOf(0);
    if (nul < 0) throw damaged(this.type, 'has no type');
    const type = parseType(this.bytes.toString('latin1', nul + 1));
    return new Variant(type, this.bytes.subarray(0, nul), this.#depth + 1);
  }

  #children(): readonly number[] {
    this.#bounds ??= this.#findChildren();
    return this.#bounds;
  }

  #findChildren(): readonly number[] {
    switch (this.type.kind) {
      case 'array':
        return arrayBounds(this.type, this.bytes);
      case 'tuple':
      case 'entry':
        return tupleBounds(this.type, this.bytes);
      case 'maybe':
        return maybeBounds(this.type, this.bytes);
      case 'variant':
        return [0, this.bytes.length];
      default:
        throw new TypeError(`${this.type.signature} has no children`);
    }
  }
}

/** Bytes of an offset in a container of that length. */
export function offsetWidth(length: number): 0 | 1 | 2 | 4 | 8 {
  if (length === 0) return 0;
  if (length <= 0xff) return 1;
  if (length <= 0xffff) return 2;
  return length <= 0xffffffff ? 4 : 8;
}

function arrayBounds(type: VariantType, bytes: Buffer): number[] {
  const { length } = bytes;
  const { alignment, fixedSize } = type.members[0]!;
  const bounds: number[] = [];
  if (length === 0) return bounds;
  if (fixedSize !== undefined) {
    if (length % fixedSize !== 0) throw damaged(type, `has ${length} bytes, of ${fixedSize} for each element`);
    for (let at = 0; at < length; at += fixedSize) bounds.push(at, at + fixedSize);
    return bounds;
  }
  const width = offsetWidth(length);
  const table = readOffset(type, bytes, length - width, length);
  if ((length - table) % width !== 0) throw damaged(type, 'has a table of offsets that is cut');
  let end = 0;
  for (let at = table; at < length; at += width) {
    const start = aligned(end, alignment);
    end = readOffset(type, bytes, at, table);
    if (start > end) throw damaged(type, `has an element that ends at ${end} and begins at ${start}`);
    bounds.push(start, end);
  }
  return bounds;
}

function tupleBounds(type: VariantType, bytes: Buffer): number[] {
  const { members } = type;
  const width = offsetWidth(bytes.length);
  const last = members.length - 1;
  const varying = members.filter(({ fixedSize }, i) => fixedSize === undefined && i < last).length;
  const limit = bytes.length - varying * width;
  if (limit < 0) throw damaged(type, 'is shorter than its offsets');
  const bounds: number[] = [];
  let end = 0;
  let offset = bytes.length;
  members.forEach((member, i) => {
    const start = aligned(end, member.alignment);
    if (member.fixedSize !== undefined) end = start + member.fixedSize;
    else if (i === last) end = limit;
    else {
      offset -= width;
      end = width === 0 ? -1 : readOffset(type, bytes, offset, limit);
    }
    if (start > end || end > limit) throw damaged(type, `has a member from ${start} to ${end} of ${limit}`);
    bounds.push(start, end);
  });
  return bounds;
}

function maybeBounds(type: VariantType, bytes: Buffer): number[] {
  const { fixedSize } = type.members[0]!;
  if (bytes.length === 0) return [];
  if (fixedSize !== undefined) {
    if (bytes.length !== fixedSize) throw damaged(type, `has ${bytes.length} bytes, not ${fixedSize}`);
    return [0, fixedSize];
  }
  if (bytes.at(-1) !== 0) throw damaged(type, 'does not end with a zero byte');
  return [0, bytes.length - 1];
}

/** @param limit what the offset may be at most */
function readOffset(type: VariantType, bytes: Buffer, at: number, limit: number): number {
  const width = offsetWidth(bytes.length);
  const value = width === 8 ? Number(bytes.readBigUInt64LE(at)) : bytes.readUIntLE(at, width);
  if (value > limit) throw damaged(type, `has offset ${value} in ${limit} bytes`);
  return value;
}

function damaged(type: VariantType, what: string): FormatError {
  return new FormatError('OSTREE_GVARIANT', `GVariant of type ${type.signature.slice(0, 80)} ${what}`);
}
