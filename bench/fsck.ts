import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Bench } from './bench.js';
import { settle, type Place } from './place.js';
import { inTurns } from './pulls.js';
import type { Row } from './samples.js';

/** Both programs check the same repository; one that finds fault with it fails the case. */
export async function* compareFsck(bench: Bench, place: Place): AsyncGenerator<Row, void> {
  const repository = join(place.folder, 'repository');
  for (const image of bench.images) {
    await bench.ours.init(repository);
    await bench.ours.pull(repository, place.graphroot, image);
    settle(bench.work);
    yield { case: 'fsck', subject: image, series: await inTurns(bench, [bench.ours, bench.peer], `fsck ${image}`, (program) => program.fsck(repository)) };
    rmSync(repository, { recursive: true });
  }
}
