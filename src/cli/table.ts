import { printable } from '../bytes.js';

const separator = ' ┆ ';

/**
 * Draws a table with the box characters cfsctl uses.
 * @param header one title per column
 * @param rows as many cells per row as there are titles; control characters are shown escaped, so that a
 *   name cannot steer the terminal
 * @returns the lines, without a final newline
 */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = rows.map((row) => row.map(printable));
  const widths = header.map((title, column) =>
    Math.max(...[title, ...cells.map((row) => row[column] ?? '')].map(width)),
  );
  const line = (row: readonly string[]): string =>
    `│ ${row.map((cell, i) => pad(cell, widths[i] ?? 0)).join(separator)} │`;
  const rule = (left: string, fill: string, cross: string, right: string): string =>
    left + widths.map((w) => fill.repeat(w + 2)).join(cross) + right;
  return [
    rule('┌', '─', '┬', '┐'),
    line(header),
    rule('╞', '═', '╪', '╡'),
    cells.map(line).join(`\n${rule('├', '╌', '┼', '┤')}\n`),
    rule('└', '─', '┴', '┘'),
  ].join('\n');
}

function pad(cell: string, to: number): string {
  return cell + ' '.repeat(to - width(cell));
}

/** Columns a terminal needs: none for combining marks, two for East Asian characters and emoji. */
function width(text: string): number {
  let columns = 0;
  for (const character of text) {
    if (/[\p{Mn}\p{Me}\p{Cf}]/u.test(character)) continue;
    columns +=
      /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|\p{Emoji_Presentation}/u.test(
        character,
      )
        ? 2
        : 1;
  }
  return columns;
}

/** A digest as tables show it: twelve hex digits, without the algorithm. */
export function shortDigest(digest: string): string {
  return digest.replace(/^.*:/, '').slice(0, 12);
}
