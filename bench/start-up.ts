import type { Bench } from './bench.js';
import type { Run } from './measure.js';
import type { Row, Series } from './samples.js';

/** What it costs to start at all. */
export async function* startUp(bench: Bench): AsyncGenerator<Row, void> {
  const commands: readonly [string, () => Promise<Run>][] = [
    ['cfsbridge --version', () => bench.ours.version()],
    ['node -e 0', () => bench.measure.run([process.execPath, '-e', '0'])],
    ['cfsctl --version', () => bench.peer.version()],
  ];
  const series = commands.map((): Series => ({ program: '', samples: [] }));
  for (let turn = 0; turn <= bench.repetitions; turn++) {
    bench.progress(`start-up, ${turn} of ${bench.repetitions}`);
    for (const [index, [, run]] of commands.entries()) {
      const { sample } = await run();
      if (turn > 0) series[index]?.samples.push(sample);
    }
  }
  for (const [index, [subject]] of commands.entries())
    yield { case: 'start', subject, series: [series[index] as Series] };
}
