import { offsetWidth } from './frame.js';
import { aligned, parseType, type VariantType } from './type.js';
import { Variant } from './variant.js';

/**
 * What a value is written from: text for `s`, `o` and `g`; bytes for `ay`, or for any type its serialised form; a list
 * for arrays, tuples and entries; a list of none or one for a maybe; a `Variant` for `v`.
 */
export type VariantValue = boolean | number | bigint | string | Uint8Array | Variant | readonly VariantValue[];

/**
 * Writes a value in normal form: the one that GLib writes, and the digests of ostree are made of.
 * @param type type string or what `parseType` made of it
 * @throws TypeError for a value of another type, RangeError for a number that does not fit
 */
export function encodeVariant(type: VariantType | string, value: VariantValue): Buffer {
  return encode(typeof type === 'string' ? parseType(type) : type, value);
}

/** The same, to be put into a `v`. */
export function variantOf(signature: string, value: VariantValue): Variant {
  return Variant.from(signature, encodeVariant(signature, value));
}

function encode(type: VariantType, value: VariantValue): Buffer {
  if (value instanceof Uint8Array) return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  switch (type.kind) {
    case 'boolean':
      if (typeof value !== 'boolean') break;
      return Buffer.of(value ? 1 : 0);
    case 'number':
      if (typeof value !== 'number') break;
      return encodeNumber(type.signature, value);
    case 'int64':
      if (typeof value !== 'bigint') break;
      return encodeBigint(type.signature, value);
    case 'string':
      if (typeof value !== 'string') break;
      return encodeText(value);
    case 'variant':
      if (!(value instanceof Variant)) break;
      return Buffer.concat([value.bytes, Buffer.from(`\0${value.type.signature}`, 'latin1')]);
    case 'maybe':
      if (!Array.isArray(value) || value.length > 1) break;
      return encodeMaybe(type, value);
    case 'array':
      if (!Array.isArray(value)) break;
      return encodeArray(type, value);
    default:
      if (!Array.isArray(value) || value.length !== type.members.length) break;
      return encodeTuple(type, value);
  }
  throw new TypeError(`not a value of type ${type.signature}`);
}

function encodeNumber(signature: string, value: number): Buffer {
  const bytes = Buffer.alloc(8);
  switch (signature) {
    case 'y':
      return bytes.subarray(0, bytes.writeUInt8(value));
    case 'n':
      return bytes.subarray(0, bytes.writeInt16LE(value));
    case 'q':
      return bytes.subarray(0, bytes.writeUInt16LE(value));
    case 'u':
      return bytes.subarray(0, bytes.writeUInt32LE(value));
    case 'd':
      return bytes.subarray(0, bytes.writeDoubleLE(value));
    default:
      return bytes.subarray(0, bytes.writeInt32LE(value));
  }
}

function encodeBigint(signature: string, value: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  if (signature === 'x') bytes.writeBigInt64LE(value);
  else bytes.writeBigUInt64LE(value);
  return bytes;
}

function encodeText(value: string): Buffer {
  const bytes = Buffer.from(`${value}\0`, 'utf8');
  if (bytes.indexOf(0) !== bytes.length - 1 || bytes.toString('utf8', 0, bytes.length - 1) !== value)
    throw new TypeError('text with NUL or half a character');
  return bytes;
}

function encodeMaybe(type: VariantType, [value]: readonly VariantValue[]): Buffer {
  if (value === undefined) return Buffer.alloc(0);
  const inner = encode(type.members[0]!, value);
  return type.members[0]!.fixedSize === undefined ? Buffer.concat([inner, Buffer.alloc(1)]) : inner;
}

function encodeArray(type: VariantType, values: readonly VariantValue[]): Buffer {
  const element = type.members[0]!;
  const parts = new Parts();
  const ends = values.map((value) => parts.add(encode(element, value), element.alignment));
  return parts.finish(element.fixedSize === undefined ? ends : []);
}

function encodeTuple(type: VariantType, values: readonly VariantValue[]): Buffer {
  const { members, alignment, fixedSize } = type;
  const parts = new Parts();
  const ends: number[] = [];
  members.forEach((member, i) => {
    const end = parts.add(encode(member, values[i]!), member.alignment);
    if (member.fixedSize === undefined && i < members.length - 1) ends.unshift(end);
  });
  if (fixedSize !== undefined) parts.add(Buffer.alloc(members.length === 0 ? 1 : 0), alignment);
  return parts.finish(ends);
}

/** The children of a container, with what has to be between them. */
class Parts {
  readonly #parts: Buffer[] = [];
  #length = 0;

  /** @returns where it ends */
  add(part: Buffer, alignment: number): number {
    const start = aligned(this.#length, alignment);
    if (start > this.#length) this.#parts.push(Buffer.alloc(start - this.#length));
    this.#parts.push(part);
    this.#length = start + part.length;
    return this.#length;
  }

  finish(ends: readonly number[]): Buffer {
    const offsets = Buffer.alloc(ends.length * widthFor(this.#length, ends.length));
    const width = offsets.length / ends.length;
    ends.forEach((end, i) => {
      if (width === 8) offsets.writeBigUInt64LE(BigInt(end), 8 * i);
      else offsets.writeUIntLE(end, width * i, width);
    });
    return Buffer.concat([...this.#parts, offsets]);
  }
}

/** The least width that can say the length of everything with the offsets. */
function widthFor(length: number, count: number): number {
  return [1, 2, 4].find((width) => offsetWidth(length + count * width) <= width) ?? 8;
}
