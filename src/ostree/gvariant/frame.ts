// Where the children of a GVariant container begin and end. What says it stands at the end of the container, so a value
// need not be in memory for that.
import { FormatError } from '../../errors.js';
import { aligned, type VariantType } from './type.js';

/** Bytes of an offset in a container of that length. */
export function offsetWidth(length: number): 0 | 1 | 2 | 4 | 8 {
  if (length === 0) return 0;
  if (length <= 0xff) return 1;
  if (length <= 0xffff) return 2;
  return length <= 0xffffffff ? 4 : 8;
}

/**
 * Start and end of each element of an array, one after the other.
 * @param length of the array in bytes
 * @param tail its last bytes, with all offsets among them; for elements of one size none are needed
 * @throws FormatError `OSTREE_GVARIANT` when there can be no such array
 */
export function arrayBounds(type: VariantType, length: number, tail: Buffer): number[] {
  const { alignment, fixedSize } = type.members[0]!;
  const bounds: number[] = [];
  if (length === 0) return bounds;
  if (fixedSize !== undefined) {
    if (length % fixedSize !== 0) throw damaged(type, `has ${length} bytes, of ${fixedSize} for each element`);
    for (let at = 0; at < length; at += fixedSize) bounds.push(at, at + fixedSize);
    return bounds;
  }
  const width = offsetWidth(length);
  const table = offsetTable(type, length, tail);
  if ((length - table) % width !== 0) throw damaged(type, 'has a table of offsets that is cut');
  let end = 0;
  for (let at = table; at < length; at += width) {
    const start = aligned(end, alignment);
    end = readOffset(type, length, tail, at, table);
    if (start > end) throw damaged(type, `has an element that ends at ${end} and begins at ${start}`);
    bounds.push(start, end);
  }
  return bounds;
}

/** The same for the members of a tuple or entry. */
export function tupleBounds(type: VariantType, length: number, tail: Buffer): number[] {
  const { members } = type;
  const width = offsetWidth(length);
  const last = members.length - 1;
  const varying = members.filter(({ fixedSize }, i) => fixedSize === undefined && i < last).length;
  const limit = length - varying * width;
  if (limit < 0) throw damaged(type, 'is shorter than its offsets');
  const bounds: number[] = [];
  let end = 0;
  let offset = length;
  members.forEach((member, i) => {
    const start = aligned(end, member.alignment);
    if (member.fixedSize !== undefined) end = start + member.fixedSize;
    else if (i === last) end = limit;
    else {
      offset -= width;
      end = width === 0 ? -1 : readOffset(type, length, tail, offset, limit);
    }
    if (start > end || end > limit) throw damaged(type, `has a member from ${start} to ${end} of ${limit}`);
    bounds.push(start, end);
  });
  return bounds;
}

/** @param limit what the offset may be at most */
function readOffset(type: VariantType, length: number, tail: Buffer, at: number, limit: number): number {
  const width = offsetWidth(length);
  const place = at - (length - tail.length);
  const value = width === 8 ? Number(tail.readBigUInt64LE(place)) : tail.readUIntLE(place, width);
  if (value > limit) throw damaged(type, `has offset ${value} in ${limit} bytes`);
  return value;
}

/**
 * Where the table of offsets of an array begins whose elements vary in size.
 * @param end its last bytes, with at least one offset
 * @throws FormatError `OSTREE_GVARIANT` when it would begin behind the end
 */
export function offsetTable(type: VariantType, length: number, end: Buffer): number {
  return readOffset(type, length, end, length - offsetWidth(length), length);
}

/** @returns the error for a value that is not one of its type */
export function damaged(type: VariantType, what: string): FormatError {
  return new FormatError('OSTREE_GVARIANT', `GVariant of type ${type.signature.slice(0, 80)} ${what}`);
}
