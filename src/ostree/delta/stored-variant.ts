import { FormatError } from '../../errors.js';
import { GVARIANT_TABLE_LIMIT, GVARIANT_TYPE_LIMIT } from '../../limits.js';
import { arrayBounds, damaged, offsetTable, offsetWidth, tupleBounds } from '../gvariant/frame.js';
import { parseType, type VariantType } from '../gvariant/type.js';
import { Variant } from '../gvariant/variant.js';
import type { ByteRange } from './byte-range.js';

/** A GVariant that may be too large for memory: only what leads to its children is read, and what `load` is asked of. */
export class StoredVariant {
  readonly type: VariantType;
  /** its serialised form; of `ay` the content */
  readonly range: ByteRange;
  #bounds: readonly number[] | undefined;

  /** @throws FormatError `OSTREE_GVARIANT` in every call, as soon as the bytes cannot be a value of the type */
  constructor(type: VariantType, range: ByteRange) {
    this.type = type;
    this.range = range;
  }

  /** Children of an array of varying elements, a tuple or an entry. */
  get length(): number {
    this.#bounds ??= this.#findBounds();
    return this.#bounds.length / 2;
  }

  /** Child `index`, from 0; of a variant the value in it. @throws RangeError when there is none */
  at(index: number): StoredVariant {
    if (this.type.kind === 'variant') return this.#inner();
    this.#bounds ??= this.#findBounds();
    const [start, end] = [this.#bounds[2 * index], this.#bounds[2 * index + 1]];
    if (start === undefined || end === undefined) throw new RangeError(`child ${index} of ${this.length}`);
    const type = this.type.members[this.type.kind === 'array' ? 0 : index]!;
    return new StoredVariant(type, this.range.slice(start, end - start));
  }

  /** All of the value. @throws FormatError `OSTREE_DELTA` when it has more than `limit` bytes */
  load(limit: number): Variant {
    const { length } = this.range;
    if (length > limit)
      throw new FormatError('OSTREE_DELTA', `the delta has a value of ${length} bytes, at most ${limit} are read`);
    return Variant.from(this.type, this.range.read(0, length));
  }

  #findBounds(): readonly number[] {
    const { kind } = this.type;
    const { length } = this.range;
    const width = offsetWidth(length);
    if (kind === 'tuple' || kind === 'entry')
      return tupleBounds(this.type, length, this.#tail(Math.min(length, this.type.members.length * width)));
    if (kind !== 'array') throw new TypeError(`${this.type.signature} has no children`);
    const table = length === 0 ? 0 : length - offsetTable(this.type, length, this.#tail(width));
    if (table > GVARIANT_TABLE_LIMIT)
      throw damaged(this.type, `has more than ${GVARIANT_TABLE_LIMIT / width} elements`);
    return arrayBounds(this.type, length, this.#tail(table));
  }

  #inner(): StoredVariant {
    const { length } = this.range;
    const end = this.#tail(Math.min(length, GVARIANT_TYPE_LIMIT + 1));
    // The type has no NUL, so the last one is what separates it from the value.
    const nul = end.lastIndexOf(0);
    if (nul < 0) throw damaged(this.type, 'has no type');
    const type = parseType(end.toString('latin1', nul + 1));
    return new StoredVariant(type, this.range.slice(0, length - end.length + nul));
  }

  /** The last bytes. */
  #tail(length: number): Buffer {
    return this.range.read(this.range.length - length, length);
  }
}
