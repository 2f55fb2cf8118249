import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Bench } from './bench.js';
import type { Run } from './measure.js';
import { settle, type Place } from './place.js';
import { contentsOf, methodOf, type Program } from './programs.js';
import type { Row, Series } from './samples.js';

/**
 * Pulls images with both programs in turn.
 * @param before the image to have in the repository when the measured pull starts, if any
 * @throws Error when the programs' results differ
 */
export async function* comparePulls(
  bench: Bench,
  name: string,
  place: Place,
  images: readonly string[],
  before: (image: string) => string | undefined,
): AsyncGenerator<Row, void> {
  for (const image of images) {
    const first = before(image);
    const series = await inTurns(bench, [bench.ours, bench.peer], `${name} ${image}`, async (program) =>
      pullOnce(bench, place, program, image, first, (repository) => program.pull(repository, place.graphroot, image)),
    );
    yield { case: name, subject: subjectOf(image, first), series };
  }
}

function subjectOf(image: string, before: string | undefined): string {
  return before === undefined || before === image ? image : `${image} after ${before}`;
}

/** One measured pull into a fresh repository, which is checked and removed afterwards. */
export async function pullOnce(
  bench: Bench,
  place: Place,
  program: Program,
  image: string,
  before: string | undefined,
  pull: (repository: string) => Promise<Run>,
): Promise<Run> {
  const repository = join(place.folder, 'repository');
  try {
    await program.init(repository);
    if (before !== undefined) await program.pull(repository, place.graphroot, before);
    settle(place.folder, bench.work);
    const run = await pull(repository);
    checkResult(bench, subjectOf(image, before), repository, program);
    return run;
  } finally {
    rmSync(repository, { recursive: true, force: true });
    settle(place.folder, bench.work);
  }
}

/**
 * One measured pull into a copy of a repository, which is checked and removed afterwards.
 * @param base what is copied
 * @param what pulls with the same name have to have the same result
 */
export async function pullOnCopy(
  bench: Bench,
  place: Place,
  program: Program,
  base: string,
  what: string,
  pull: (repository: string) => Promise<Run>,
): Promise<Run> {
  const repository = join(place.folder, 'repository');
  try {
    execFileSync('cp', ['-a', base, repository]);
    settle(place.folder);
    const run = await pull(repository);
    checkResult(bench, what, repository, program);
    return run;
  } finally {
    rmSync(repository, { recursive: true, force: true });
    settle(place.folder);
  }
}

/** Runs the programs by turns: A B A B …; the first turn of each warms the page cache and does not count. */
export async function inTurns(
  bench: Bench,
  programs: readonly Program[],
  label: string,
  once: (program: Program) => Promise<Run>,
): Promise<Series[]> {
  const series = programs.map((program): Series => ({ program: program.name, samples: [] }));
  for (let turn = 0; turn <= bench.repetitions; turn++) {
    for (const [index, program] of programs.entries()) {
      bench.progress(`${label}: ${program.name}, ${turn === 0 ? 'warming up' : `${turn} of ${bench.repetitions}`}`);
      const { sample, stdout } = await once(program);
      const own = series[index] as Series;
      const method = methodOf(stdout);
      if (method !== undefined) own.method = method;
      if (turn > 0) own.samples.push(sample);
    }
  }
  return series;
}

/**
 * Whoever makes it and on whatever filesystem: the same image gives the same repository. A benchmark of wrong results
 * is worthless.
 */
function checkResult(bench: Bench, what: string, repository: string, program: Program): void {
  const result = contentsOf(repository);
  const expected = bench.results.get(what) ?? result;
  bench.results.set(what, expected);
  const wrong = result.filter((line) => !expected.includes(line));
  const missing = expected.filter((line) => !result.includes(line));
  if (wrong.length + missing.length > 0) {
    throw new Error(
      `after pulling ${what}, ${program.name} has\n${wrong.join('\n')}\nwhere the run before ` +
        `had\n${missing.join('\n')}`,
    );
  }
}
