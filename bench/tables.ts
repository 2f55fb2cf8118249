import type { Case } from './cases.js';
import { spread, type Metric, type Row, type Series, type Spread } from './samples.js';

/** What one case came to. */
export interface Outcome {
  case: Case;
  rows: readonly Row[];
}

export interface Table {
  header: string[];
  rows: string[][];
}

const MIB = 2 ** 20;

const metrics: readonly { metric: Metric; name: string; show: (values: Spread) => string }[] = [
  { metric: 'wall', name: 'time', show: seconds },
  { metric: 'cpu', name: 'CPU', show: seconds },
  { metric: 'peak', name: 'memory', show: ({ median }) => `${(median / MIB).toFixed(0)} MiB` },
  { metric: 'requests', name: 'requests', show: ({ median }) => `${median}` },
];

/** Lays out a case: for every metric the programs side by side, then how they compare. */
export function tableOf({ subject, ratio }: Case, rows: readonly Row[]): Table {
  const programs = rows[0]?.series ?? [];
  const measured = metrics.filter(({ metric }) => programs.some((series) => spread(series, metric)));
  const header = [subject];
  for (const { name } of measured) {
    for (const { program } of programs) header.push(program === '' ? name : `${name} ${program}`);
    if (ratio !== 'none')
      header.push(...(programs.length > 2 ? programs.slice(1).map(({ program }) => `ratio ${program}`) : ['ratio']));
  }
  const withMethods = rows.some(({ series }) => series.some(({ method }) => method !== undefined));
  if (withMethods) header.push('content');
  return {
    header,
    rows: rows.map((row) => [
      row.subject,
      ...measured.flatMap(({ metric, show }) => {
        const cells = row.series.map((series) => {
          const values = spread(series, metric);
          return values === undefined ? '' : show(values);
        });
        const [first, ...others] = row.series as [Series, ...Series[]];
        return ratio === 'none' ? cells : [...cells, ...others.map((other) => quotient(first, other, metric, ratio))];
      }),
      ...(withMethods ? [methods(row.series)] : []),
    ]),
  };
}

export function markdown({ header, rows }: Table): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  const rule = header.map((_, index) => (index === 0 ? '---' : '--:'));
  return [header, rule, ...rows].map(line).join('\n');
}

/** How many times the first the other takes. */
function quotient(first: Series, other: Series, metric: Metric, ratio: 'medians' | 'turns'): string {
  const [own, its] = [spread(first, metric), spread(other, metric)];
  if (own === undefined || its === undefined || own.median === 0) return '';
  const medians = `${(its.median / own.median).toFixed(2)}×`;
  if (ratio === 'medians') return medians;
  const turns = other.samples.map((sample, turn) => (sample[metric] ?? 0) / (first.samples[turn]?.[metric] ?? 0));
  return `${medians} (${Math.min(...turns).toFixed(2)}–${Math.max(...turns).toFixed(2)})`;
}

function methods(series: readonly Series[]): string {
  const [first, ...others] = series.map(({ method }) => method ?? '');
  return others.every((method) => method === first) ? (first ?? '') : [first, ...others].join(' / ');
}

/** The median, with smallest and largest in the same unit. */
function seconds({ median, min, max }: Spread): string {
  const [unit, factor, digits] = median >= 1 ? ['s', 1, 2] : ['ms', 1e3, median < 0.01 ? 2 : 0];
  const [middle, low, high] = [median, min, max].map((value) => (value * factor).toFixed(digits));
  return `${middle} ${unit} (${low}–${high})`;
}
