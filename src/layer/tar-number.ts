/**
 * Numbers in tar header fields: octal text, or base-256 (GNU) when the field's first bit is set.
 * Everything here reads `length` bytes of `block` from `at` and answers NaN or undefined for what is not a number.
 */

const I64_MIN = -(1n << 63n);
const I64_MAX = (1n << 63n) - 1n;

/** Octal text ends at the first NUL; white space around it is padding; no digits at all is 0. NaN if malformed. */
function octal(block: Buffer, at: number, length: number): number {
  const end = at + length;
  let pos = at;
  while (pos < end && isSpace(block[pos]!)) pos++;
  let value = 0;
  for (; pos < end; pos++) {
    const digit = block[pos]! - 0x30;
    if (digit < 0 || digit > 7) break;
    value = value * 8 + digit;
  }
  while (pos < end && isSpace(block[pos]!)) pos++;
  return pos === end || block[pos] === 0 ? value : NaN;
}

function isSpace(byte: number): boolean {
  return byte === 0x20 || (byte >= 0x09 && byte <= 0x0d);
}

/** Two's complement, big endian; the top bit only marks the encoding, the next one is the sign. */
function base256(block: Buffer, at: number, length: number): bigint {
  const bits = BigInt(`0x${block.toString('hex', at, at + length)}`);
  return BigInt.asIntN(8 * length - 1, bits);
}

/** A count, id or size: 0 to 2^53-1, NaN when malformed or out of range. */
export function unsignedField(block: Buffer, at: number, length: number): number {
  if ((block[at]! & 0x80) === 0) return octal(block, at, length);
  const value = base256(block, at, length);
  return value >= 0n && value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : NaN;
}

/** A time: any signed 64-bit number, undefined when malformed or out of range. */
export function signedField(block: Buffer, at: number, length: number): bigint | undefined {
  if ((block[at]! & 0x80) === 0) {
    const value = octal(block, at, length);
    return Number.isNaN(value) ? undefined : BigInt(value);
  }
  const value = base256(block, at, length);
  return value >= I64_MIN && value <= I64_MAX ? value : undefined;
}
