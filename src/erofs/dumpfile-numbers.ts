import type { ByteString } from '../bytes.js';
import { FormatError } from '../errors.js';

const U64_MAX = 0xffffffffffffffffn;

/**
 * Reads a decimal number as C's strtoull does, which is what the C tools use: white space and a sign may come first, a minus
 * wraps around 2^64, and what is too large becomes 2^64-1.
 * @throws FormatError DUMPFILE
 */
export function parseNumber(text: ByteString, field: string): bigint {
  if (!/^[\t-\r ]*[+-]?[0-9]+$/.test(text)) throw new FormatError('DUMPFILE', `${field}: invalid integer "${text}"`);
  const value = BigInt(text.replace(/^[\t-\r ]*[+-]?/, ''));
  const limited = value > U64_MAX ? U64_MAX : value;
  return text.includes('-') ? BigInt.asUintN(64, -limited) : limited;
}

/** Reads a number and keeps its low 32 bits, as the C tools do. */
export function parseNumber32(text: ByteString, field: string): number {
  if (text.length < 10 && /^[0-9]+$/.test(text)) return Number(text);
  return Number(BigInt.asUintN(32, parseNumber(text, field)));
}

/** Reads `SECONDS.NANOSECONDS`, two whole numbers (`1.5` is five nanoseconds after one). */
export function parseTime(text: ByteString): { sec: bigint; nsec: number } {
  const dot = text.indexOf('.');
  if (dot < 0) throw new FormatError('DUMPFILE', `MTIME: "${text}" has no "."`);
  const sec = text.slice(0, dot);
  return { sec: parseSeconds(sec), nsec: parseNumber32(text.slice(dot + 1), 'MTIME') };
}

function parseSeconds(text: ByteString): bigint {
  if (text.length < 16 && /^[0-9]+$/.test(text)) return BigInt(Number(text));
  return BigInt.asIntN(64, parseNumber(text, 'MTIME'));
}

/** Reads an octal st_mode. */
export function parseMode(text: ByteString): number {
  if (!/^[\t-\r ]*\+?[0-7]{1,21}$/.test(text)) throw new FormatError('DUMPFILE', `MODE: invalid octal integer "${text}"`);
  return parseInt(text.trim().replace('+', ''), 8) % 0o200000;
}
