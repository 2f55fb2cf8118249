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
import { GVARIANT_DEPTH_LIMIT } from '../../limits.js';
import { arrayBounds, damaged, tupleBounds } from './frame.js';
import { parseType, type VariantType } from './type.js';

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
        return arrayBounds(this.type, this.bytes.length, this.bytes);
      case 'tuple':
      case 'entry':
        return tupleBounds(this.type, this.bytes.length, this.bytes);
      case 'maybe':
        return maybeBounds(this.type, this.bytes);
      case 'variant':
        return [0, this.bytes.length];
      default:
        throw new TypeError(`${this.type.signature} has no children`);
    }
  }
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
