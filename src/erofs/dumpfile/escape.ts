import type { ByteString } from '../../bytes.js';
import { DumpProblem } from './problem.js';

const NAMED: Record<string, string> = { '\\': '\\\\', '\n': '\\n', '\r': '\\r', '\t': '\\t' };
const SIMPLE: Record<string, string> = { '\\': '\\', n: '\n', r: '\r', t: '\t' };

/** Writes a path as a dumpfile has it. */
export function escapePath(bytes: ByteString): string {
  return /[^\x21-\x5b\x5d-\x7e]/.test(bytes) ? bytes.replace(/[^\x21-\x5b\x5d-\x7e]/g, escapeByte) : bytes;
}

/** Writes a field that may be unset, which is `-`. */
export function escapeField(bytes: ByteString): string {
  return bytes === '-' ? '\\x2d' : escapePath(bytes);
}

/** Writes the name or value of an xattr, which have `=` between them. */
export function escapeXattr(bytes: ByteString): string {
  return escapePath(bytes).replaceAll('=', '\\x3d');
}

/**
 * Reads a field back.
 * @param field its number
 * @throws DumpProblem: unknown or incomplete escape
 */
export function unescapeField(text: ByteString, field: number): ByteString {
  if (!text.includes('\\')) return text;
  return text.replace(/\\(x[0-9a-fA-F]{2}|[^]|$)/g, (match, code: string, offset: number) => {
    if (code.length === 3) return String.fromCharCode(parseInt(code.slice(1), 16));
    const byte = SIMPLE[code];
    if (byte === undefined) throw new DumpProblem(reasonFor(code, text.length - offset - match.length), field);
    return byte;
  });
}

/** In the C tools an escaped NUL ends paths, targets and names of xattrs. */
export function cString(text: ByteString): ByteString {
  const end = text.indexOf('\0');
  return end < 0 ? text : text.slice(0, end);
}

function escapeByte(byte: string): string {
  return NAMED[byte] ?? `\\x${byte.charCodeAt(0).toString(16).padStart(2, '0')}`;
}

/** @param left how many characters follow */
function reasonFor(code: string, left: number): string {
  if (code === '') return 'No character after escape';
  if (code !== 'x') return `Unsupported escape type ${code}`;
  return left < 2 ? 'No hex characters after hex escape' : 'Invalid hex characters after hex escape';
}
