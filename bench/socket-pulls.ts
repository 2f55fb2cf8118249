import { join } from 'node:path';
import type { Bench } from './bench.js';
import type { Run } from './measure.js';
import type { Place } from './place.js';
import { inTurns, pullOnce } from './pulls.js';
import { ourCommand, Program } from './programs.js';
import type { Row } from './samples.js';
import { Server } from './server.js';

/** Pulls in process, and through a server that was started for this pull. */
export async function* socketPulls(bench: Bench, place: Place): AsyncGenerator<Row, void> {
  const direct = new Program('in process', ourCommand, bench.measure);
  const served = new Program('through the socket', ourCommand, bench.measure);
  for (const image of bench.images) {
    const series = await inTurns(bench, [direct, served], `socket ${image}`, async (program) =>
      pullOnce(bench, place, program, image, undefined, (repository) =>
        program === served
          ? servedPull(bench, place, program, repository, image)
          : program.pull(repository, place.graphroot, image),
      ),
    );
    yield { case: 'socket', subject: image, series };
  }
}

async function servedPull(
  bench: Bench,
  place: Place,
  program: Program,
  repository: string,
  image: string,
): Promise<Run> {
  await using server = await Server.start(place.graphroot, join(bench.work, 'socket'));
  return await withServer(server, () => program.pull(repository, place.graphroot, image, '--socket', server.socket));
}

/** Adds to what a client took what its server took meanwhile. */
export async function withServer(server: Server, run: () => Promise<Run>): Promise<Run> {
  const before = server.cpu();
  const { sample, stdout } = await run();
  const { cpu = 0, peak = 0 } = sample;
  return { sample: { ...sample, cpu: cpu + server.cpu() - before, peak: peak + server.peak() }, stdout };
}
