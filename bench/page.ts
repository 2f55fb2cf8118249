import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { chart } from './chart.js';
import { machineText, type Machine } from './machine.js';
import { markdown, tableOf, type Outcome } from './tables.js';

const page = fileURLToPath(new URL('../../docs/performance.md', import.meta.url));
const picture = fileURLToPath(new URL('../../docs/performance.svg', import.meta.url));
const BEGIN = '<!-- begin of what `make bench ARGS=--write` writes -->';
const END = '<!-- end of what `make bench ARGS=--write` writes -->';

/**
 * Puts tables and chart of one run in the place of the old ones. A run of some cases only leaves the other tables as
 * they are, with the chart, and says of each of its own how it came about.
 * @throws Error when the page has lost its markers
 */
export function writePage(outcomes: readonly Outcome[], repetitions: number, machine: Machine, all: boolean): void {
  const text = readFileSync(page, 'utf8');
  const [begin, end] = [text.indexOf(BEGIN), text.indexOf(END)];
  if (begin < 0 || end < begin) throw new Error(`${page} has no place for the tables between ${BEGIN} and ${END}`);
  const measured = outcomes.filter(({ rows }) => rows.length > 0);
  const runs = repetitions === 1 ? 'One run' : `Medians of ${repetitions} runs, smallest and largest in parentheses`;
  const how = `${runs}. ${machineText(machine)}.`;
  const parts = all
    ? [how, ...measured.map((outcome) => section(outcome, []))]
    : replaced(
        text.slice(begin + BEGIN.length, end).trim(),
        measured.map((outcome) => section(outcome, [how])),
      );
  const charted = measured.filter(({ case: { charted } }) => charted);
  if (all && charted.length > 0) {
    parts.splice(1, 0, '![Time of a pull by filesystem and image](performance.svg)');
    writeFileSync(picture, chart(charted));
  }
  writeFileSync(page, `${text.slice(0, begin)}${BEGIN}\n\n${parts.join('\n\n')}\n\n${text.slice(end)}`);
}

function section({ case: measured, rows }: Outcome, notes: readonly string[]): string {
  return [`### ${measured.title}`, ...notes, markdown(tableOf(measured, rows))].join('\n\n');
}

/** Sections with new ones in the place of those that have the same titles, or at the end. */
function replaced(old: string, sections: readonly string[]): string[] {
  const titleOf = (part: string): string => part.slice(0, part.indexOf('\n'));
  const fresh = new Map(sections.map((part) => [titleOf(part), part]));
  const parts = old.split(/\n\n(?=### )/).map((part) => {
    const title = titleOf(part);
    const now = fresh.get(title);
    fresh.delete(title);
    return now ?? part;
  });
  return [...parts, ...fresh.values()];
}
