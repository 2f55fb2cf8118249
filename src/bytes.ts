/**
 * A string in which every UTF-16 unit is one byte (0..255). File names, link targets and xattrs are
 * bytes, not text; in this form they can be map keys, and `<` sorts them as bytes.
 */
export type ByteString = string;

/** Reads UTF-8 text (a path typed by a person, say) as the bytes it stands for. */
export function bytesOf(text: string): ByteString {
  return Buffer.from(text, 'utf8').toString('latin1');
}

/** Shows bytes to a person: as UTF-8 where they are that, with `\xHH` for whatever is not printable. */
export function showBytes(bytes: ByteString): string {
  const buffer = Buffer.from(bytes, 'latin1');
  const text = buffer.toString('utf8');
  const printable = Buffer.from(text, 'utf8').equals(buffer) ? text : bytes.replace(/[\x80-\xff]/g, escape);
  return printable.replace(/[\x00-\x1f\x7f]/g, escape);
}

function escape(unit: string): string {
  return `\\x${unit.charCodeAt(0).toString(16).padStart(2, '0')}`;
}
