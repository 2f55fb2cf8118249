import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Bench } from './bench.js';
import { makeGrowthStore, type Content } from './growth-store.js';
import { settle } from './place.js';
import type { Row, Series } from './samples.js';

const GB = 1e9;
/** Whole blocks of tar. */
const bytes = (gigabytes: number): number => Math.floor((gigabytes * GB) / 512) * 512;

const FILES: readonly [string, Content][] = [
  ['1k', { files: 1_000 }],
  ['10k', { files: 10_000 }],
  ['100k', { files: 100_000 }],
  ['300k', { files: 300_000 }],
];
const SIZES: readonly [string, Content][] = [
  ['0.2 GB', { sparse: bytes(0.2) }],
  ['2 GB', { sparse: bytes(2) }],
  ['20 GB', { sparse: bytes(20) }],
];

export const growthInFiles = (bench: Bench): AsyncGenerator<Row, void> => growth(bench, 'files', FILES);
export const growthInBytes = (bench: Bench): AsyncGenerator<Row, void> => growth(bench, 'bytes', SIZES);

/** Pulls of ever larger layers, to see what time and memory grow with. */
async function* growth(bench: Bench, name: string, layers: readonly [string, Content][]): AsyncGenerator<Row, void> {
  for (const [subject, content] of layers) {
    const folder = mkdtempSync(join(bench.work, 'growth-'));
    try {
      bench.progress(`${name} ${subject}: making the store`);
      const [store, repository] = [join(folder, 'store'), join(folder, 'repository')];
      makeGrowthStore(store, content);
      const series: Series = { program: bench.ours.name, samples: [] };
      for (let turn = 0; turn <= bench.repetitions; turn++) {
        await bench.ours.init(repository);
        settle(folder);
        bench.progress(`${name} ${subject}: ${turn === 0 ? 'warming up' : `${turn} of ${bench.repetitions}`}`);
        const { sample } = await bench.ours.pull(repository, store, 'growth');
        if (turn > 0) series.samples.push(sample);
        rmSync(repository, { recursive: true });
      }
      yield { case: name, subject, series: [series] };
    } finally {
      rmSync(folder, { recursive: true });
    }
  }
}
