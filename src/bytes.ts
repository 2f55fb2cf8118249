/**
 * A string in which every UTF-16 unit is one byte (0..255). File names, link targets and xattrs are
 * bytes, not text; in this form they can be map keys, and `<` sorts them as bytes.
 */
export type ByteString = string;

/**
 * Reads UTF-8 text (a path typed by a person, say) as the bytes it stands for.
 * @example
 * ```ts
 * import { bytesOf } from 'composefs-bridge';
 *
 * console.log(bytesOf('ü').length); // 2
 * ```
 */
export function bytesOf(text: string): ByteString {
  return Buffer.from(text, 'utf8').toString('latin1');
}

/**
 * Shows bytes to a person: as UTF-8 where they are that, with `\xHH` for whatever is not printable.
 * @example
 * ```ts
 * import { bytesOf, showBytes } from 'composefs-bridge';
 *
 * console.log(showBytes(bytesOf('ü')), showBytes('\xff')); // ü \xff
 * ```
 */
export function showBytes(bytes: ByteString): string {
  const buffer = Buffer.from(bytes, 'latin1');
  const text = buffer.toString('utf8');
  return printable(Buffer.from(text, 'utf8').equals(buffer) ? text : bytes.replace(/[\x80-\xff]/g, escape));
}

/**
 * What a terminal obeys rather than shows: C0 and C1 controls, and what changes the direction of writing or breaks
 * lines. Names, and what a server says, could hide with them what else is said, or say it themselves.
 */
const STEERING = /[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/** Text from outside in a line of our own: it stays in its line. */
export function printable(text: string): string {
  return text.replace(STEERING, escape);
}

/** The same for text that has lines; tabs stay, too. */
export function printableLines(text: string): string {
  return text.replace(STEERING, (unit) => (unit === '\n' || unit === '\t' ? unit : escape(unit)));
}

/** JSON that says the same, for a terminal as well as for programs. */
export function printableJson(json: string): string {
  return json.replace(STEERING, (unit) =>
    unit === '\n' ? unit : `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** A text as one word of a shell's command line, for advice that somebody pastes. */
export function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

function escape(unit: string): string {
  const code = unit.charCodeAt(0).toString(16);
  return code.length > 2 ? `\\u{${code}}` : `\\x${code.padStart(2, '0')}`;
}
