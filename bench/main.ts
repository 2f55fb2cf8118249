// Benchmarks beside the real cfsctl; docs/performance.md says what is measured and how.
//
//     make bench ARGS="--cases ext4 --images base -n 3"
import { rmSync, writeFileSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import { table } from '../src/cli/table.js';
import type { Bench } from './bench.js';
import { cases } from './cases.js';
import { describeMachine, machineText } from './machine.js';
import { Measure } from './measure.js';
import { parseOptions, usage, type Options } from './options.js';
import { withOwnMounts } from './own-mounts.js';
import { writePage } from './page.js';
import { Unavailable, workFolder } from './place.js';
import { OURS, ourCommand, PEER, Program } from './programs.js';
import type { Row } from './samples.js';
import { tableOf, type Outcome } from './tables.js';

const FAILED = 1;
const INTERRUPTED = 130;

async function main(): Promise<number> {
  const options = parseOptions(process.argv.slice(2), process.env);
  if (options === undefined) {
    console.log(usage());
    return 0;
  }
  return (await withOwnMounts()) ?? (await measureAll(options));
}

async function measureAll(options: Options): Promise<number> {
  const stop = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.on(name, () => stop.abort(new Error('interrupted')));
  const machine = describeMachine(options.cfsctl);
  console.log(`${machineText(machine)}\n`);

  const work = workFolder(options.store);
  let status = 0;
  const outcomes: Outcome[] = [];
  try {
    const bench = newBench(options, work, stop.signal);
    for (const measured of options.cases) {
      if (stop.signal.aborted) break;
      const rows: Row[] = [];
      outcomes.push({ case: measured, rows });
      try {
        for await (const row of measured.run(bench)) {
          rows.push(row);
          if (options.json !== undefined)
            writeFileSync(
              options.json,
              JSON.stringify({ machine, rows: outcomes.flatMap((outcome) => outcome.rows) }, null, 1),
            );
        }
      } catch (error) {
        // Ctrl-C ends a program that this one waits for without listening: let it hear the signal, too.
        await setImmediate();
        if (!stop.signal.aborted && !(error instanceof Unavailable)) status = FAILED;
        bench.progress('');
        console.log(`${measured.name}: ${error instanceof Unavailable ? 'left out: ' : ''}${(error as Error).message}`);
      }
      bench.progress('');
      if (rows.length > 0) show({ case: measured, rows });
    }
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  if (stop.signal.aborted) return INTERRUPTED;
  if (options.write) writePage(outcomes, options.repetitions, machine, options.cases.length === cases.length);
  return status;
}

function newBench(options: Options, work: string, signal: AbortSignal): Bench {
  const measure = new Measure(work, signal);
  return {
    ...options,
    work,
    measure,
    ours: new Program(OURS, ourCommand, measure),
    peer: new Program(PEER, [options.cfsctl], measure),
    signal,
    results: new Map(),
    // On a terminal one line that is written again and again.
    progress: (text) =>
      void process.stderr.write(process.stderr.isTTY ? `\r\x1b[K${text}` : text === '' ? '' : `${text}\n`),
  };
}

function show({ case: measured, rows }: Outcome): void {
  const { header, rows: cells } = tableOf(measured, rows);
  console.log(`${measured.title}\n${table(header, cells)}\n`);
}

try {
  process.exitCode = await main();
} catch (error) {
  console.error(`bench: ${(error as Error).message}`);
  process.exitCode = 2;
}
