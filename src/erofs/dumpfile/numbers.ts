import type { ByteString } from '../../bytes.js';
import { DumpProblem } from './problem.js';

const U64_MAX = 0xffffffffffffffffn;

/**
 * Reads a decimal number as C's strtoull does, which is what the C tools use: white space and a sign may come first, a
 * minus wraps around 2^64, and what is too large becomes 2^64-1.
 * @param field number of the field
 * @throws DumpProblem
 */
export function parseNumber(text: ByteString, field: number): bigint {
  if (!/^[\t-\r ]*[+-]?[0-9]+$/.test(text)) throw invalid(text, field);
  const value = BigInt(text.replace(/^[\t-\r ]*[+-]?/, ''));
  const limited = value > U64_MAX ? U64_MAX : value;
  return text.includes('-') ? BigInt.asUintN(64, -limited) : limited;
}

/**
 * Reads an octal st_mode.
 * @param field number of the field
 * @throws DumpProblem
 */
export function parseMode(text: ByteString, field: number): number {
  let mode = 0;
  for (let at = 0; at < text.length && mode >= 0; at++) {
    const digit = text.charCodeAt(at) - 0x30;
    mode = digit < 0 || digit > 7 || at > 6 ? -1 : mode * 8 + digit;
  }
  if (mode >= 0 && text !== '') return mode % 0o200000;
  if (!/^[\t-\r ]*\+?[0-7]{1,21}$/.test(text)) throw invalid(text, field);
  return parseInt(text.trim().replace('+', ''), 8) % 0o200000;
}

function invalid(text: ByteString, field: number): DumpProblem {
  return new DumpProblem(`Invalid integer ${text}`, field);
}
