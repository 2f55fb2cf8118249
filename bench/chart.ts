import { spread, type Row, type Series } from './samples.js';
import type { Outcome } from './tables.js';

const WIDTH = 860;
const LEFT = 70;
const RIGHT = 90;
const BAR = 13;
const GROUP_GAP = 9;
const PANEL_GAP = 24;
const TOP = 62;
/** told apart by readers who do not see colours, too: the first is darker */
const COLOURS = ['#1f5fa8', '#e0a458'];

/** A picture of the times: a panel for each case, a group of bars for each image, one scale for all. */
export function chart(outcomes: readonly Outcome[]): string {
  const longest = Math.max(
    ...outcomes.flatMap(({ rows }) => rows.flatMap(({ series }) => series.map((one) => spread(one, 'wall')?.max ?? 0))),
  );
  const step = tickStep(longest);
  const end = Math.ceil(longest / step) * step;
  const x = (value: number): number => LEFT + (value / end) * (WIDTH - LEFT - RIGHT);

  const parts: string[] = [];
  let y = TOP;
  for (const { case: measured, rows } of outcomes) {
    parts.push(text(LEFT, y + 12, measured.title.replaceAll('`', ''), 'font-size="13" font-weight="bold"'));
    y += 24;
    const top = y;
    const body: string[] = [];
    for (const row of rows) {
      body.push(...group(row, y, x));
      y += row.series.length * BAR + GROUP_GAP;
    }
    y += 2;
    parts.push(...axis(top - 2, y, end, step, x), ...body);
    y += PANEL_GAP + 10;
  }
  const programs = outcomes[0]?.rows[0]?.series.map(({ program }) => program) ?? [];
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${y}" viewBox="0 0 ${WIDTH} ${y}" ` +
      'font-family="sans-serif" font-size="12" fill="#222">',
    `<rect width="${WIDTH}" height="${y}" rx="6" fill="#fff"/>`,
    text(LEFT, 24, 'Seconds for one pull, median of the runs; the thin line spans smallest to largest', ''),
    ...programs.flatMap((program, index) => [
      `<rect x="${LEFT + index * 110}" y="36" width="12" height="12" fill="${COLOURS[index]}"/>`,
      text(LEFT + 18 + index * 110, 46, program, ''),
    ]),
    ...parts,
    '</svg>\n',
  ].join('\n');
}

function group({ subject, series }: Row, y: number, x: (value: number) => number): string[] {
  const middle = y + (series.length * BAR) / 2;
  return [
    text(LEFT - 8, middle + 4, subject, 'text-anchor="end"'),
    ...series.flatMap((one, index) => bar(one, index, y + index * BAR, x)),
  ];
}

function bar(series: Series, index: number, y: number, x: (value: number) => number): string[] {
  const times = spread(series, 'wall');
  if (times === undefined) return [];
  const middle = y + BAR / 2;
  return [
    `<rect x="${LEFT}" y="${y}" width="${(x(times.median) - LEFT).toFixed(1)}" height="${BAR - 1}" ` +
      `fill="${COLOURS[index]}"/>`,
    `<path d="M${x(times.min).toFixed(1)} ${middle}H${x(times.max).toFixed(1)}" stroke="#222"/>`,
    text(x(times.max) + 6, middle + 4, times.median.toFixed(2), 'font-size="11"'),
  ];
}

function axis(top: number, bottom: number, end: number, step: number, x: (value: number) => number): string[] {
  const ticks = Array.from({ length: Math.round(end / step) + 1 }, (_, index) => index * step);
  return ticks.flatMap((tick) => [
    `<path d="M${x(tick).toFixed(1)} ${top}V${bottom}" stroke="#ddd"/>`,
    text(x(tick), bottom + 12, String(Number(tick.toFixed(3))), 'font-size="10" fill="#666" text-anchor="middle"'),
  ]);
}

/** The smallest of 1, 2, 5, 10, … that needs no more than eight ticks. */
function tickStep(longest: number): number {
  const power = 10 ** Math.floor(Math.log10(longest / 8));
  return ([1, 2, 5].find((factor) => factor * power * 8 >= longest) ?? 10) * power;
}

function text(x: number, y: number, content: string, attributes: string): string {
  const escaped = content.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
  return `<text x="${x.toFixed(1)}" y="${y}" ${attributes}>${escaped}</text>`;
}
