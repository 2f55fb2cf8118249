import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Case } from './cases.js';
import { chart } from './chart.js';
import { machineText, type Machine } from './machine.js';
import type { Row } from './samples.js';
import { markdown, tableOf } from './tables.js';

const page = fileURLToPath(new URL('../../docs/performance.md', import.meta.url));
const picture = fileURLToPath(new URL('../../docs/performance.svg', import.meta.url));
const BEGIN = '<!-- begin of what `make bench ARGS=--write` writes -->';
const END = '<!-- end of what `make bench ARGS=--write` writes -->';

export interface Outcome {
  case: Case;
  rows: readonly Row[];
}

/** Puts tables and chart of one run in the place of the old ones. @throws Error when the page has lost its markers */
export function writePage(outcomes: readonly Outcome[], repetitions: number, machine: Machine): void {
  const text = readFileSync(page, 'utf8');
  const [begin, end] = [text.indexOf(BEGIN), text.indexOf(END)];
  if (begin < 0 || end < begin) throw new Error(`${page} has no place for the tables between ${BEGIN} and ${END}`);
  const measured = outcomes.filter(({ rows }) => rows.length > 0);
  const parts = [
    `Medians of ${repetitions} runs, smallest and largest in parentheses. ${machineText(machine)}.`,
    ...measured.map(({ case: measuredCase, rows }) => `### ${measuredCase.title}\n\n${markdown(tableOf(measuredCase, rows))}`),
  ];
  const charted = measured.filter(({ case: { charted } }) => charted);
  if (charted.length > 0) {
    parts.splice(1, 0, '![Time of a pull by filesystem and image](performance.svg)');
    writeFileSync(picture, chart(charted));
  }
  writeFileSync(page, `${text.slice(0, begin)}${BEGIN}\n\n${parts.join('\n\n')}\n\n${text.slice(end)}`);
}
