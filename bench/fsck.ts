import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Bench } from './bench.js';
import { makeGrowthStore } from './growth-store.js';
import { settle, type Place } from './place.js';
import { inTurns } from './pulls.js';
import type { Row } from './samples.js';

const MANY_OBJECTS = 300_000;

/** Both programs check the same repository; one that finds fault with it fails the case. */
export async function* compareFsck(bench: Bench, place: Place): AsyncGenerator<Row, void> {
  for (const image of bench.images) yield await compare(bench, place, place.graphroot, image, image);
  const graphroot = join(bench.work, 'many-objects');
  makeGrowthStore(graphroot, { files: MANY_OBJECTS });
  try {
    yield await compare(bench, place, graphroot, 'growth', `${MANY_OBJECTS} objects of 1 KiB`);
  } finally {
    rmSync(graphroot, { recursive: true });
  }
}

async function compare(bench: Bench, place: Place, graphroot: string, image: string, subject: string): Promise<Row> {
  const repository = join(place.folder, 'repository');
  await bench.ours.init(repository);
  try {
    await bench.ours.pull(repository, graphroot, image);
    settle(bench.work);
    return {
      case: 'fsck',
      subject,
      series: await inTurns(bench, [bench.ours, bench.peer], `fsck ${subject}`, (program) => program.fsck(repository)),
    };
  } finally {
    rmSync(repository, { recursive: true });
  }
}
